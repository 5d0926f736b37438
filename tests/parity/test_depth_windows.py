"""Depth merged from windows and flips by the official test procedure, of a formula in place of a network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from mmdiffperc.seg import DiffusionDepthEstimator

from .agreement import assert_agrees
from .detweights import make_image

FOLDER = Path(__file__).parent / 'depth_windows'
SCENES = (3, 17)
NYU_OF_MMSEG = dict(mode='slide_flip', crop_size=(480, 480), stride=(160, 160))
KITTI_OF_MMSEG = dict(mode='slide_flip', crop_size=(352, 352), stride=(57, 57))
# run of the recording -> size, maximal depth, number of windows, flip, whether it knows scenes
RUNS = {
    'vpd_nyu_shift2_flip': ((480, 640), 10, 2, True, True),
    'vpd_nyu_shift3_noflip': ((480, 640), 10, 3, False, True),
    'meta_nyu_shift2_flip': ((480, 640), 10, 2, True, False),
    'meta_kitti_shift16_flip': ((352, 1216), 80, 16, True, False),
}


class Formula(DiffusionDepthEstimator):
    """Depth that depends on the colours, on the place inside the window and on the scene, as in the recording.

    There it grows linearly with the column (``power`` 1), of which the average with the mirror image leaves nothing.
    """

    def __init__(self, max_depth, test_cfg, power=1):
        head = dict(type='VPDDepthHead', in_channels=[16] * 4, embed_dim=2, feature_dim=16, num_deconv_filters=(2,) * 3)
        super().__init__(backbone=dict(type='mmseg.ResNet', depth=18), decode_head=head, test_cfg=ConfigDict(test_cfg))
        self.max_depth = max_depth
        self.power = power
        self.batch_sizes = []

    def encode_decode(self, inputs, batch_img_metas):
        self.batch_sizes.append(len(inputs))
        height, width = inputs.shape[2:]
        slope = 0.2 * (torch.arange(width) / width) ** self.power + 0.05 * torch.arange(height)[:, None] / height
        scenes = torch.tensor([meta.get('category_id', 0) for meta in batch_img_metas]).view(-1, 1, 1)
        depth = 1 + self.max_depth * (0.25 * inputs.mean(1) + slope) + 0.5 * inputs[:, 0] + 0.01 * scenes
        return depth[:, None]


def merged(run, index, test_cfg=None, power=1):
    """Image of a run and its merged depth, both from the recording's recipe."""
    size, max_depth, num_windows, flip, knows_scenes = RUNS[run]
    estimator = Formula(max_depth, test_cfg or dict(mode='shift', num_windows=num_windows, flip=flip), power)
    meta = dict(ori_shape=size, **(dict(category_id=SCENES[index]) if knows_scenes else {}))
    depth = estimator.inference(make_image(f'{run}_img{index}', (1, 3, *size), 0, 1), [meta])
    return depth[0, 0], estimator.batch_sizes


@pytest.mark.parametrize('run', RUNS)
@pytest.mark.parametrize('index', [0, 1])
def test_merged_depth(run, index):
    recorded = np.load(FOLDER / 'outputs.npz')[run][index]
    depth, batch_sizes = merged(run, index)
    _, _, num_windows, flip, _ = RUNS[run]
    assert batch_sizes == [num_windows * (1 + flip)]
    assert_agrees(depth, recorded, run)


def test_columns_of_kitti_that_no_window_covers():
    depth, _ = merged('meta_kitti_shift16_flip', 0)
    assert depth.isnan().any(0).nonzero().flatten().tolist() == list(range(1207, 1216))
    assert depth[:, 1207:].isnan().all()


def test_slide_flip_is_the_official_procedure_on_nyu():
    """The stride of mmseg's recipe, 160, is the interval of two windows."""
    official, _ = merged('vpd_nyu_shift2_flip', 0, power=2)
    of_mmseg, batch_sizes = merged('vpd_nyu_shift2_flip', 0, NYU_OF_MMSEG, power=2)
    assert batch_sizes == [2] * 2
    torch.testing.assert_close(of_mmseg, official, rtol=1e-6, atol=1e-6)


def test_slide_flip_differs_from_the_official_procedure_on_kitti():
    """mmseg moves a 17th window back to the right border, where the official code has 16 and NaN.

    In its columns this formula then gives depth that is 0.22 m off on average, and 0.45 m at most, of 19 m.
    """
    official, _ = merged('meta_kitti_shift16_flip', 0, power=2)
    of_mmseg, batch_sizes = merged('meta_kitti_shift16_flip', 0, KITTI_OF_MMSEG, power=2)
    assert batch_sizes == [2] * 17
    torch.testing.assert_close(of_mmseg[:, :864], official[:, :864], rtol=1e-6, atol=1e-5)
    assert official[:, 1207:].isnan().all() and of_mmseg.isfinite().all()
    difference = (of_mmseg - official)[:, 864:1207].abs()
    assert difference.mean() == pytest.approx(0.219, abs=1e-3)
    assert difference.max() == pytest.approx(0.449, abs=1e-3)
