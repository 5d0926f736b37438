"""The toy config of MetaPrompts for pose, with a tiny network: training reaches all that trains, flipping averages."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import KEYPOINT_CODECS
from mmpose.structures import PoseDataSample
from tiny_pose import CONFIG, build, shrink

CODECS = {
    'UDPHeatmap': dict(type='UDPHeatmap', input_size=(72, 104), heatmap_size=(18, 26), sigma=1.5, blur_kernel_size=7),
    'MSRAHeatmap': dict(type='MSRAHeatmap', input_size=(72, 104), heatmap_size=(18, 26), sigma=1.5),
}
FLIPPED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


@pytest.fixture(params=CODECS)
def model(request, tmp_path):
    """A model whose crops are of odd multiples of 8; the mirrored heatmaps are shifted for the classic codec."""
    cfg = shrink(Config.fromfile(CONFIG), tmp_path)
    cfg.model.head.decoder = CODECS[request.param]
    cfg.model.test_cfg.shift_heatmap = request.param == 'MSRAHeatmap'
    return build(cfg)


def make_sample(codec):
    """A person whose crop is the image, and all of whose keypoints are seen, away from its border."""
    keypoints = np.random.default_rng(0).uniform((20, 24), (50, 80), (1, 17, 2)).astype(np.float32)
    encoded = codec.encode(keypoints, np.ones((1, 17), np.float32))
    sample = PoseDataSample(
        metainfo=dict(
            input_size=(72, 104),
            input_center=np.float32([36, 52]),
            input_scale=np.float32([72, 104]),
            flip_indices=FLIPPED,
        )
    )
    sample.gt_fields = PixelData(heatmaps=torch.from_numpy(encoded['heatmaps']))
    sample.gt_instance_labels = InstanceData(keypoint_weights=torch.from_numpy(encoded['keypoint_weights']))
    sample.gt_instances = InstanceData(bboxes=np.float32([[0, 0, 72, 104]]), bbox_scores=np.ones(1, np.float32))
    return sample, keypoints


def test_training_reaches_all(model):
    model.train()
    images, samples = torch.rand(2, 3, 104, 72) * 2 - 1, [make_sample(model.head.decoder)[0] for _ in range(2)]
    losses = model.loss(images, samples)
    losses['loss_kpt'].backward()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert not {name for name, weight in trained.items() if weight.grad is None}
    assert all(torch.isfinite(weight.grad).all() for weight in trained.values())
    assert {'backbone.learned_timesteps.2', 'backbone.prompts.embeddings.0', 'neck.levels.3.0.weight'} <= set(trained)
    assert not any('autoencoder' in name for name in trained)


def test_flip_test_averages_both_heatmaps(model):
    model.eval()
    torch.nn.init.normal_(model.head.final_layer.weight)
    images, (sample, _) = torch.rand(1, 3, 104, 72) * 2 - 1, make_sample(model.head.decoder)
    model.test_cfg.update(output_heatmaps=True)
    model.head.test_cfg = model.test_cfg
    with torch.no_grad():
        (found,) = model.predict(images, [sample])
        plain, mirrored = (model.head(model.extract_feat(one)) for one in (images, images.flip(-1)))
    is_classic = type(model.head.decoder).__name__ == 'MSRAHeatmap'
    mirrored = flip_heatmaps(mirrored, flip_indices=FLIPPED, shift_heatmap=is_classic)
    torch.testing.assert_close(found.pred_fields.heatmaps, ((plain + mirrored) / 2)[0])
    assert found.pred_instances.keypoints.shape == (1, 17, 2)


@pytest.mark.parametrize('name', CODECS)
def test_codec_finds_the_keypoints_again(name):
    """To a tenth of a pixel; the classic codec to half a cell of 4 pixels, to which it rounds."""
    codec = KEYPOINT_CODECS.build(CODECS[name])
    sample, keypoints = make_sample(codec)
    decoded, scores = codec.decode(sample.gt_fields.heatmaps.numpy())
    if name == 'UDPHeatmap':  # it decodes to what is right once divided by the size, as the estimator does
        keypoints = keypoints * [72 / 71, 104 / 103]
    assert np.abs(decoded - keypoints).max() < (0.1 if name == 'UDPHeatmap' else 2.01)
    assert scores.min() > 0.8
