import warnings

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmdiffperc.seg.referring.simple_decoding_head import SimpleDecodingHead

CHANNELS = (3, 5, 7, 4)
SIZES = ((11, 6), (6, 3), (3, 2), (2, 1))


@pytest.fixture
def head():
    """A head whose running statistics differ from their initial values, so that normalisation has an effect."""
    init_default_scope('mmseg')
    head = MODELS.build(dict(type='SimpleDecodingHead', in_channels=CHANNELS, channels=8))
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.bias)
    return head.eval()


@pytest.fixture
def features():
    return tuple(torch.randn(2, width, *size) for width, size in zip(CHANNELS, SIZES, strict=True))


def fuse(head, step, coarse, skip):
    """One step, written out."""
    fused = torch.cat([F.interpolate(coarse, skip.shape[2:], mode='bilinear', align_corners=True), skip], dim=1)
    for conv in head.fusions[step]:
        norm = conv.bn
        fused = F.conv2d(fused, conv.conv.weight, padding=1)
        fused = F.batch_norm(fused, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5).relu()
    return fused


def test_fuses_from_coarse_to_fine(head, features):
    fused = fuse(head, 0, features[3], features[2])
    fused = fuse(head, 1, fused, features[1])
    fused = fuse(head, 2, fused, features[0])
    expected = F.conv2d(fused, head.conv_seg.weight, head.conv_seg.bias)
    logits = head(features)
    assert logits.shape == (2, 2, 11, 6)
    torch.testing.assert_close(logits, expected)


def test_size_of_the_papers():
    """Of VPD with 40 tokens: half the coarsest level's channels, no bias before normalisation."""
    with torch.device('meta'):
        head = SimpleDecodingHead([320, 680, 1320, 1280])
    shapes = {name: tuple(weight.shape) for name, weight in head.named_parameters() if weight.dim() == 4}
    assert list(shapes.values()) == [
        (2, 640, 1, 1),
        (640, 2600, 3, 3),
        (640, 640, 3, 3),
        (640, 1320, 3, 3),
        (640, 640, 3, 3),
        (640, 960, 3, 3),
        (640, 640, 3, 3),
    ]
    assert [name for name, _ in head.named_parameters() if name.endswith('conv.bias')] == []
    assert head.dropout is None


def test_initial_weights_are_those_of_pytorch():
    """A convolution draws from U(-b, b) with b = 1 / sqrt(fan-in), whose standard deviation is b / sqrt(3)."""
    head = SimpleDecodingHead([32, 64, 96, 128], channels=64)
    head.init_weights()
    convs = [block.conv for fusion in head.fusions for block in fusion]
    fan_ins = [9 * (128 + 96), 9 * 64, 9 * (64 + 64), 9 * 64, 9 * (64 + 32), 9 * 64, 64]
    for conv, fan_in in zip([*convs, head.conv_seg], fan_ins, strict=True):
        assert conv.weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.2)
        assert 0.8 < conv.weight.abs().max() * fan_in**0.5 <= 1
    assert 0 < head.conv_seg.bias.abs().max() <= 64**-0.5


def test_other_initial_weights():
    head = SimpleDecodingHead(CHANNELS, 8, init_cfg=dict(type='Constant', val=0.5, layer='Conv2d'))
    head.init_weights()
    assert all((weight == 0.5).all() for weight in head.parameters() if weight.dim() == 4)


def test_logits_are_enlarged_with_aligned_corners(head, features):
    predicted = head.predict(features, [dict(img_shape=(44, 24))] * 2, None)
    expected = F.interpolate(head(features), (44, 24), mode='bilinear', align_corners=True)
    torch.testing.assert_close(predicted, expected)
    assert head.align_corners


def test_chosen_levels(head, features):
    one_more = (torch.randn(2, 9, 22, 12), *features)
    shifted = SimpleDecodingHead(CHANNELS, 8, in_index=[1, 2, 3, 4]).eval()
    shifted.load_state_dict(head.state_dict())
    torch.testing.assert_close(shifted(one_more), head(features))


def test_gradients_reach_everything(features):
    loss = dict(type='MaskedCrossEntropyLoss', class_weight=[0.9, 1.1])
    head = SimpleDecodingHead(CHANNELS, 8, loss_decode=loss)
    features = [feature.requires_grad_() for feature in features]
    targets = torch.randint(0, 2, (2, 1, 22, 12))
    targets[0, :, 20:] = 255  # padded
    samples = [SegDataSample(gt_sem_seg=PixelData(data=target)) for target in targets]
    losses = head.loss(features, samples, None)
    logits = F.interpolate(head(features), (22, 12), mode='bilinear', align_corners=True)
    expected = F.cross_entropy(logits, targets[:, 0], torch.tensor([0.9, 1.1]), ignore_index=255)
    torch.testing.assert_close(losses['loss_ce'], expected)
    losses['loss_ce'].backward()
    assert all(weight.grad.abs().sum() > 0 for weight in [*head.parameters(), *features])


def test_builds_without_a_warning_about_two_classes():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        SimpleDecodingHead(CHANNELS, 8)
    assert not [warning for warning in caught if 'For binary segmentation' in str(warning.message)]
