"""Toy scenes for semantic segmentation."""

from mmseg.registry import DATASETS

from mmdiffperc.toy_scenes import TOY_CLASSES, TOY_PALETTE
from mmdiffperc.validation import Text, validated

from .checked_seg_dataset import CheckedSegDataset


@DATASETS.register_module()
@validated
class ToyScenesDataset(CheckedSegDataset):
    """Toy scenes in the folder layout of ADE20K, as ``tools/make_toy_scenes.py --formats ade`` writes them.

    Args:
        img_suffix (str): Suffix of the images. Defaults to '.png'.
        reduce_zero_label (bool): Whether label 0 means nothing, as in ADE20K. Defaults to True.
        **kwargs: Arguments of :class:`.CheckedSegDataset`.
    """

    METAINFO = dict(classes=TOY_CLASSES, palette=[list(colour) for colour in TOY_PALETTE])

    def __init__(self, img_suffix: Text = '.png', reduce_zero_label: bool = True, **kwargs):
        super().__init__(img_suffix=img_suffix, reduce_zero_label=reduce_zero_label, **kwargs)
