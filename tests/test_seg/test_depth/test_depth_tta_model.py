import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models import DepthEstimator
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmdiffperc.seg  # noqa: F401
from mmdiffperc.seg.depth.depth_tta_model import DepthTTAModel

HEIGHT, WIDTH = 6, 10


class Brightness(BaseModel):
    """The simplest estimator: depth is the red channel. It postprocesses like every estimator of mmseg."""

    align_corners = False
    postprocess_result = DepthEstimator.postprocess_result

    def forward(self, inputs, data_samples, mode):
        """Predict."""
        return self.postprocess_result(torch.stack(inputs)[:, 2:].float(), data_samples)


@pytest.fixture
def tta():
    init_default_scope('mmseg')
    return MODELS.build(dict(type='DepthTTAModel', module=Brightness()))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def views(image, tmp_path):
    """Make the batch of one image, flipped and at some scales."""
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    cv2.imwrite(str(tmp_path / 'depth.png'), np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH))

    def views(scales):
        keys = ('img_path', 'ori_shape', 'img_shape', 'flip', 'flip_direction')
        augmentations = [
            [dict(type='Resize', scale=scale, keep_ratio=True) for scale in scales],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadDepthAnnotation', depth_rescale_factor=0.1)],
            [dict(type='PackSegInputs', meta_keys=keys)],
        ]
        pipeline = Compose([dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=augmentations)])
        sample = dict(img_path=str(tmp_path / 'image.png'), depth_map_path=str(tmp_path / 'depth.png'), seg_fields=[])
        return pseudo_collate([pipeline(sample)])

    return views


def test_mean_of_each_image():
    def views(*depths):
        return [SegDataSample(pred_depth_map=PixelData(data=torch.full((1, 2, 3), depth))) for depth in depths]

    merged = DepthTTAModel.merge_preds(None, [views(1.0, 2.0, 6.0), views(4.0, 5.0, 0.0)])
    assert [sample.pred_depth_map.data.unique().tolist() for sample in merged] == [[3.0], [3.0]]
    assert merged[0].pred_depth_map.data.shape == (1, 2, 3)


def test_views_without_depth_do_not_count():
    nan = torch.nan
    depths = torch.tensor([[[2.0, nan, nan]]]), torch.tensor([[[4.0, 5.0, nan]]])
    views = [SegDataSample(pred_depth_map=PixelData(data=depth)) for depth in depths]
    (merged,) = DepthTTAModel.merge_preds(None, [views])
    expected = torch.tensor([[[3.0, 5.0, nan]]])
    torch.testing.assert_close(merged.pred_depth_map.data, expected, equal_nan=True)


def test_flipped_view_lies_on_the_other(tta, views, image):
    (merged,) = tta.test_step(views([(WIDTH, HEIGHT)]))
    torch.testing.assert_close(merged.pred_depth_map.data[0], torch.from_numpy(image[..., 2]).float())


def test_scaled_views_come_back_to_the_size_of_the_image(tta, views, image):
    (merged,) = tta.test_step(views([(WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT)]))
    large = torch.from_numpy(cv2.resize(image, None, fx=2, fy=2)[..., 2]).float()
    back = F.interpolate(large[None, None], (HEIGHT, WIDTH), mode='bilinear')[0, 0]
    expected = (torch.from_numpy(image[..., 2]).float() + back) / 2
    torch.testing.assert_close(merged.pred_depth_map.data[0], expected)


def test_truth_stays_as_it_is(tta, views, tmp_path):
    (merged,) = tta.test_step(views([(2 * WIDTH, 2 * HEIGHT)]))
    truth = torch.arange(HEIGHT * WIDTH).reshape(1, HEIGHT, WIDTH) * 0.1
    torch.testing.assert_close(merged.gt_depth_map.data, truth)
    assert merged.img_path == str(tmp_path / 'image.png')
