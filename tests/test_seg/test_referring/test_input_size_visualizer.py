"""Pictures of referring segmentation, whose masks have the size of the network's input."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdiffperc.seg import InputSizeVisualizer

META = dict(classes=('background', 'referred object'), palette=[[0, 0, 0], [255, 0, 0]])


@pytest.fixture
def visualizer():
    visualizer = InputSizeVisualizer(name='masks', alpha=1.0)
    visualizer.dataset_meta = META
    return visualizer


@pytest.mark.parametrize('size', [(40, 90), (16, 12), (32, 24)])
def test_image_is_resized_to_the_masks(visualizer, tmp_path, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    truth, pred = torch.zeros(2, 1, 32, 24, dtype=torch.long)
    truth[:, :20], pred[:, 5:, :7] = 1, 1
    sample = SegDataSample(gt_sem_seg=PixelData(data=truth), pred_sem_seg=PixelData(data=pred))
    visualizer.add_datasample('a', image, sample, out_file=str(tmp_path / 'a.png'), with_labels=False)
    drawn = cv2.imread(str(tmp_path / 'a.png'))[..., ::-1]
    assert drawn.shape == (32, 2 * 24, 3)
    for panel, mask in zip(np.split(drawn, 2, axis=1), (truth, pred), strict=True):
        np.testing.assert_array_equal(panel[..., 0] == 255, mask[0].numpy() == 1)


def test_prediction_alone(visualizer, tmp_path):
    sample = SegDataSample(pred_sem_seg=PixelData(data=torch.ones(1, 8, 10, dtype=torch.long)))
    visualizer.add_datasample('a', np.zeros((9, 13, 3), np.uint8), sample, out_file=str(tmp_path / 'a.png'))
    assert cv2.imread(str(tmp_path / 'a.png')).shape == (8, 10, 3)
