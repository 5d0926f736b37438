"""KITTI for monocular depth."""

from pathlib import PurePosixPath

from mmengine import fileio
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmdiffperc.generative.data.listed_targets import parse_split
from mmdiffperc.validation import validated

DEFAULT_PREFIX = dict(img_path='images', depth_map_path='annotations')


@DATASETS.register_module()
@validated
class KITTIDepthDataset(BaseSegDataset):
    """KITTI raw images with the annotated depth of the KITTI depth benchmark, for the frames in a split file.

    The split of Eigen et al. (NeurIPS 2014) is distributed in such files. A line names an image, its depth map and, in
    some files, the focal length, which is not used. Both paths are relative to their prefix; a leading slash is
    ignored. The lists of VPD and MetaPrompts (``/raw_data/... /data_depth_annotated/val/...``) need empty prefixes; the
    lists of BTS (``2011_09_26/... 2011_09_26_drive_0002_sync/proj_depth/... 721.5377``) need the folders of images and
    depth. Lines whose depth is ``None``, 45 of the 697 test images in BTS's list, are skipped.

    Depth files have 256 units per metre: load them with ``LoadDepthAnnotation(depth_rescale_factor=1 / 256)``. Every
    frame has ``category_id`` 0, the only class, and a unique ``sample_name``, because the numbers of frames repeat:
    ``2011_09_26_drive_0002_sync_image_02_0000000069``. Like every data set of mmseg, it is checked when it is built,
    see :func:`.check_seg_dataset`.

    Args:
        ann_file (str): The split file.
        data_prefix (dict, optional): Folders of the images (``img_path``) and the depth maps (``depth_map_path``).
            Default: 'images' and 'annotations'.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    Raises:
        FileNotFoundError: The split file does not exist.
        ValueError: A line of the split file has another form, or no line has depth.
    """

    METAINFO = dict(classes=('street',), palette=[[128, 64, 128]])

    def __init__(self, ann_file: str, data_prefix: dict | None = None, **kwargs):
        data_prefix = DEFAULT_PREFIX if data_prefix is None else data_prefix
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the split file.

        Returns:
            list[dict]: For every frame with depth: ``img_path``, ``depth_map_path``, ``category_id``,
            ``sample_name`` and mmseg's ``seg_fields``.
        """
        if not self.ann_file or not fileio.exists(self.ann_file, self.backend_args):
            raise FileNotFoundError(
                f'Split file {self.ann_file!r} not found. It is distributed with the code of BTS, VPD or MetaPrompts '
                '(eigen_test_files_with_gt.txt, test_list.txt); give its path as ann_file'
            )
        rows = parse_split(fileio.get(self.ann_file, self.backend_args), self.ann_file)
        return [self._frame(image, depth) for image, depth, _ in rows]

    def _frame(self, image: str, depth: str) -> dict:
        return dict(
            img_path=fileio.join_path(self.data_prefix['img_path'], image),
            depth_map_path=fileio.join_path(self.data_prefix['depth_map_path'], depth),
            category_id=0,
            sample_name=_sample_name(image),
            seg_fields=[],
        )


def _sample_name(image: str) -> str:
    """Return drive, camera and number of a frame ``<date>/<drive>/<camera>/data/<number>.png``."""
    path = PurePosixPath(image)
    return '_'.join([*path.parts[-4:-2], path.stem])
