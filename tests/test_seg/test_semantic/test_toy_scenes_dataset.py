import pytest

from mmdiffperc.seg import ToyScenesDataset


def test_scenes_that_nobody_has_made(tmp_path):
    """The same error as for every checked data set, not Python's."""
    prefix = dict(img_path='images/training', seg_map_path='annotations/training')
    with pytest.raises(FileNotFoundError, match='images/training.*data_root'):
        ToyScenesDataset(data_root=str(tmp_path), data_prefix=prefix)
