"""The packages that mmdiffperc uses (``PACKAGES``), and the installed distributions, read without importing them."""

import re
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

EVERYTHING = 'everything'
HOSTS = 'mmsegmentation, mmdetection and mmpose'
CORE = "pip install '{source}'"
SEG = "pip install '{source}[seg]'"
POSE = "pip install '{source}[pose]' && pip install --no-deps mmpose==1.3.2"
DET = "pip install '{source}[det]'"
DMP = "pip install '{source}[dmp]'"
APP = "pip install '{source}[app]'"
# Versions that the hosts or mmdiffperc need although no requirement says so in every environment: full mmcv replaces
# mmcv-lite, mmpose is installed with --no-deps, and a clone on the PYTHONPATH has no requirements.
SUPPORTED = (
    'mmcv>=2.0.0,<2.2.0',
    'mmcv-lite>=2.0.0,<2.2.0',
    'mmsegmentation>=1.2.2',
    'mmdet>=3.3.0',
    'mmpose>=1.3.2',
)
# The requirements of an extra apply if this distribution is installed.
EXTRAS = {
    'seg': 'mmsegmentation',
    'pose': 'mmpose',
    'det': 'mmdet',
    'dmp': 'lmdb',
    'app': 'gradio',
    'export': 'onnxscript',
    'memory': 'bitsandbytes',
}


@dataclass(frozen=True)
class Package:
    """A package that mmdiffperc, or a part of it, uses.

    Args:
        module (str): Its top-level module.
        serves (str): What does not work without it, for the report.
        command (str): The command that installs it. ``{source}`` stands for ``mmdiffperc`` or the folder of a clone.
        imports (tuple[str, ...]): The modules to import, in order, to check that it works. Default: ``module``.
    """

    module: str
    serves: str
    command: str
    imports: tuple[str, ...] = ()


# The hosts come after mmdiffperc, because current versions of their dependencies need its shims.
PACKAGES = (
    Package('numpy', EVERYTHING, CORE),
    Package('cv2', EVERYTHING, CORE),
    Package('torch', EVERYTHING, CORE),
    Package('torchvision', HOSTS, SEG),
    Package('diffusers', EVERYTHING, CORE),
    Package('transformers', EVERYTHING, CORE),
    Package('peft', EVERYTHING, CORE),
    Package('mmengine', EVERYTHING, CORE),
    Package('mmdiffperc', EVERYTHING, CORE),
    Package('pkg_resources', 'configs that inherit from a host, mmpose, and mim', "pip install 'setuptools<81'"),
    Package('mmcv', HOSTS, SEG, ('mmdiffperc', 'mmcv.ops', 'mmcv._ext')),
    Package(
        'mmseg',
        'segmentation, referring segmentation and depth (mmdiffperc.seg)',
        SEG,
        ('mmdiffperc', 'mmseg.apis', 'mmdiffperc.seg'),
    ),
    Package('mmdet', 'detection, and the Mask2Former of mmsegmentation', DET, ('mmdiffperc', 'mmdet.apis')),
    Package('mmpose', 'pose estimation (mmdiffperc.pose)', POSE, ('mmdiffperc', 'mmpose.apis', 'mmdiffperc.pose')),
    Package('pycocotools', 'referring segmentation, detection and pose estimation', SEG),
    Package('xtcocotools', 'pose estimation', POSE, ('mmdiffperc', 'xtcocotools.coco')),
    Package('mim', 'the commands mim train and mim test', SEG),
    Package(
        'albumentations',
        'the augmentation Albu, which only the NYU recipes use',
        "pip install '{source}[seg]' && pip install --no-deps albumentations==2.0.8 albucore==0.0.24",
    ),
    Package('h5py', 'the NYU converter, tools/dataset_converters/nyu.py, and the files of Hypersim', SEG),
    Package('lmdb', 'DMP data sets stored in an lmdb', DMP),
    Package('gradio', 'the browser page, tools/app.py', APP),
)


@dataclass(frozen=True)
class Installed:
    """The installed distributions.

    Args:
        versions (dict[str, str]): Version of each distribution, by its normalised name.
        providers (dict[str, list[str]]): Normalised names of the distributions that provide a top-level module.
        requirements (dict[str, list[str]]): The declared requirements of each distribution.
    """

    versions: dict[str, str]
    providers: dict[str, list[str]]
    requirements: dict[str, list[str]]

    def provided(self, module: str) -> str:
        """Return the names and versions of the distributions that provide a module, on one line."""
        return ', '.join(f'{name} {self.versions[name]}' for name in self.providers.get(module, []))

    def unmet(self, name: str) -> list[tuple[str, str]]:
        """Return the requirements of a distribution that the installed versions do not meet.

        Those of mmdiffperc include ``SUPPORTED``. Packages that are not installed and invalid requirements are left
        out. The list is empty if the package ``packaging``, a dependency of transformers, is missing.

        Args:
            name (str): The normalised name of the distribution.

        Returns:
            list[tuple[str, str]]: Requirement and installed version, such as ``('torch>=2.6', 'torch 2.5.1')``.
        """
        if 'packaging' not in self.versions:
            return []
        found = {}
        for declared in (*self.requirements.get(name, ()), *(SUPPORTED if name == 'mmdiffperc' else ())):
            with suppress(ValueError):  # invalid requirement or marker
                found |= self._compare(declared)
        return list(found.items())

    def _compare(self, declared):
        from packaging.requirements import Requirement

        requirement = Requirement(declared)
        version = self.versions.get(normalised(requirement.name))
        extras = ['', *(extra for extra, host in EXTRAS.items() if host in self.versions)]
        applies = not requirement.marker or any(requirement.marker.evaluate({'extra': extra}) for extra in extras)
        if not version or not applies or requirement.specifier.contains(version, prereleases=True):
            return {}
        return {f'{requirement.name}{requirement.specifier}': f'{requirement.name} {version}'}


def find_installed() -> Installed:
    """Read the metadata of all distributions that this Python finds; of two with the same name, the first is used."""
    distributions = reversed([*metadata.distributions()])
    found = {normalised(name): each for each in distributions if (name := each.metadata['Name'])}
    providers = {
        module: sorted({normalised(name) for name in names} & set(found))
        for module, names in metadata.packages_distributions().items()
    }
    return Installed(
        {name: each.version for name, each in found.items()},
        providers,
        {name: each.requires or [] for name, each in found.items()},
    )


def normalised(name: str) -> str:
    """Return the normalised name of a distribution, by which names are compared."""
    return re.sub('[-_.]+', '-', name).lower()
