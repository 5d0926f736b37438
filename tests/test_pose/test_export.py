import pytest
import tiny_pose
import torch
from mmengine.config import Config

from mmdiffperc.export import find_part


def test_heatmaps(tmp_path):
    model = tiny_pose.build(tiny_pose.shrink(Config.fromfile(tiny_pose.CONFIG), tmp_path)).eval()
    part = find_part(model, 'model')
    assert part.size == (128, 96) and part.metadata['decoder'] == 'UDPHeatmap'
    image, *_ = part.examples(2, part.size)
    heatmaps = part.module(image)
    assert heatmaps.shape == (2, 17, 32, 24)
    torch.testing.assert_close(heatmaps, model(image, None, mode='tensor'))


def test_other_heads_can_only_export_the_backbone(tmp_path):
    cfg = tiny_pose.shrink(Config.fromfile(tiny_pose.CONFIG), tmp_path)
    cfg.model.head = dict(
        type='RegressionHead', in_channels=12, num_joints=17, decoder=dict(type='RegressionLabel', input_size=(96, 128))
    )
    cfg.model.neck = None
    model = tiny_pose.build(cfg)
    with pytest.raises(ValueError, match="no part 'model'.*backbone"):
        find_part(model, 'model')
