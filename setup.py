"""Package metadata. The requirements of each task are in ``requirements/``."""

from pathlib import Path
from runpy import run_path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(*names: str) -> list[str]:
    """Return the lines of ``requirements/<name>.txt`` for every name, without comments."""
    lines = [line for name in names for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()]
    return [line for line in lines if line and not line.startswith('#')]


EXTRAS = {
    'seg': requirements('mmcv', 'mim', 'seg'),
    'pose': requirements('mmcv', 'mim', 'pose'),
    'det': requirements('mmcv', 'mim', 'det'),
    'dmp': requirements('dmp'),
    'app': requirements('app'),
    'export': requirements('export'),
    'memory': requirements('memory'),
    'test': requirements('test'),
    'docs': requirements('docs'),
}

VERSION = run_path(str(ROOT / 'mmdiffperc' / 'version.py'))  # importing would need torch

setup(
    name='mmdiffperc',
    version=VERSION['__version__'],
    url=VERSION['REPOSITORY'] or None,
    description='Diffusion models as perception backbones for OpenMMLab: VPD, MetaPrompts, DMP',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=['mmdiffperc', 'mmdiffperc.*', 'mmdiffperc_cli']),
    # `.mim` holds links to the folders of the repository, which are followed.
    package_data={
        'mmdiffperc': ['assets/**/*', 'configs/**/*.py', *(f'.mim/**/*.{suffix}' for suffix in ('md', 'py', 'yml'))]
    },
    entry_points={'console_scripts': ['mmdiffperc = mmdiffperc_cli.main:main']},
    install_requires=requirements('core'),
    extras_require={**EXTRAS, 'all': sorted({line for lines in EXTRAS.values() for line in lines})},
)
