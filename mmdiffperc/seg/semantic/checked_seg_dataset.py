"""Your own data for semantic segmentation."""

from typing import Annotated

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmdiffperc.validation import Expected, Label, validated

LabelMap = Annotated[dict[Label, Label], Expected('a dict from the label in a file to the number of its class')]


@DATASETS.register_module()
@validated
class CheckedSegDataset(BaseSegDataset):
    """mmseg's ``BaseSegDataset`` with an option that maps the labels in the files to classes.

    Like every data set of mmseg, it is checked when it is built, see :func:`.check_seg_dataset`.
    :class:`.CheckLabels` checks each map in the pipeline.

    Args:
        label_map (dict[int, int], optional): The class for each label in the files, such as ``{255: 1}`` for masks of 0
            and 255. Other labels are not changed. mmseg's ``LoadAnnotations`` applies it after ``reduce_zero_label``.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.
    """

    def __init__(self, label_map: LabelMap | None = None, **kwargs):
        self._given_label_map = label_map and dict(label_map)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images with their label maps."""
        samples = super().load_data_list()
        if not self._given_label_map:
            return samples
        return [sample | dict(label_map=self._given_label_map) for sample in samples]
