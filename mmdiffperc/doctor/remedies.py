"""What helps against known errors: :func:`.find_remedy`."""

import re
from dataclasses import dataclass

MMCV_LITE = "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'"


@dataclass(frozen=True)
class Remedy:
    """What helps against an error.

    Args:
        pattern (str): Regular expression that finds the error, in upper or lower case.
        cause (str): What the error means.
        command (str): What to type. ``{distributions}`` stands for the packages that cannot be imported.
    """

    pattern: str
    cause: str
    command: str


REMEDIES = (
    Remedy(
        'mmcv==.* is used but incompatible',
        'mmsegmentation and mmdetection accept mmcv and mmcv-lite from 2.0 to below 2.2',
        MMCV_LITE,
    ),
    Remedy(r'mmcv\W_ext', 'mmcv was compiled for another torch', MMCV_LITE),
    Remedy('ImpImporter', 'setuptools is too old for this Python', "pip install --upgrade 'setuptools<81'"),
    Remedy(
        'torchvision',
        'torch and torchvision are not of the same release',
        'pip install --force-reinstall torch torchvision',
    ),
    Remedy(
        r'libGL\.so|libgthread|libglib', 'OpenCV needs libraries of the system', 'apt-get install libgl1 libglib2.0-0'
    ),
    Remedy(
        r'numpy\.dtype size changed|compiled using NumPy 1|numpy\.core\.multiarray failed to import',
        'it was built for another numpy',
        'pip install --upgrade --force-reinstall --no-deps {distributions}',
    ),
)


def find_remedy(error: str) -> Remedy | None:
    """Return what helps against an error, if it is a known one."""
    matching = (remedy for remedy in REMEDIES if re.search(remedy.pattern, error, re.IGNORECASE))
    return next(matching, None)
