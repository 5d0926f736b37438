"""The packages that are looked for, what does not work without each, and the command that installs it."""

from dataclasses import dataclass

EVERYTHING = 'everything'
HOSTS = 'mmsegmentation, mmdetection and mmpose'
CORE = "pip install '{source}'"
SEG = "pip install '{source}[seg]'"
POSE = "pip install '{source}[pose]' && pip install --no-deps mmpose==1.3.2"
DET = "pip install '{source}[det]'"
DMP = "pip install '{source}[dmp]'"


@dataclass(frozen=True)
class Package:
    """A package that mmdiffperc, or a part of it, uses.

    Args:
        module (str): Its top-level module.
        serves (str): What does not work without it.
        command (str): The command that installs it. ``{source}`` stands for mmdiffperc: its name, or its folder.
        imports (tuple[str, ...]): The modules to import in order to see whether it works. Default: ``module``.
    """

    module: str
    serves: str
    command: str
    imports: tuple[str, ...] = ()

    @property
    def probes(self) -> tuple[str, ...]:
        """The modules to import, in order."""
        return self.imports or (self.module,)


# The hosts come after mmdiffperc, because they import on today's versions only with its shims.
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
        'the augmentation Albu, which only the recipes for NYU use',
        "pip install '{source}[seg]' && pip install --no-deps albumentations==2.0.8 albucore==0.0.24",
    ),
    Package('h5py', 'the converter of the NYU data, tools/dataset_converters/nyu.py', SEG),
    Package('lmdb', 'data sets of DMP that are stored in an lmdb', DMP),
    Package('gradio', 'the browser page of DMP, projects/dmp/tools/app.py', DMP),
)
