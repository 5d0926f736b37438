import numpy as np
from mmengine.registry import TRANSFORMS

from mmdiffperc.engine import KeepCleanImage


def test_later_transforms_do_not_change_the_copy():
    results = dict(img=np.full((4, 5, 3), 7, np.uint8))
    results = TRANSFORMS.build(dict(type='KeepCleanImage'))(results)
    results['img'][:2] = 0
    assert (results['clean_img'] == 7).all()
    assert isinstance(TRANSFORMS.build(dict(type='KeepCleanImage')), KeepCleanImage)


def test_all_hosts_pack_the_copy():
    from mmdet.datasets.transforms import PackDetInputs
    from mmpose.datasets.transforms import PackPoseInputs
    from mmseg.datasets.transforms import PackSegInputs

    for pack in (PackDetInputs, PackPoseInputs, PackSegInputs):
        results = KeepCleanImage()(dict(img=np.full((4, 5, 3), 7, np.uint8)))
        packed = pack(meta_keys=('clean_img',))(results)
        assert np.array_equal(packed['data_samples'].metainfo['clean_img'], results['clean_img'])
