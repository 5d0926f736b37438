from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.structures import PixelData
from mmseg.models import DepthEstimator
from mmseg.structures import SegDataSample
from tiny_arch import write_arch

from mmdiffperc.seg import DiffusionDepthEstimator
from mmdiffperc.seg.depth.depth_estimator import blending_weights, window_starts

CONFIGS = Path(__file__).parents[3] / 'configs' / 'vpd'
SCENES = ['kitchen', 'cafe', 'office']
SIZES = [(120, 160), (88, 304), (83, 194), (194, 83), (1, 1)]
HEAD = dict(in_channels=[16, 24, 32, 40], embed_dim=2, feature_dim=16, num_deconv_filters=(4, 4, 4), max_depth=7.0)
MODES = {
    'whole': dict(mode='whole'),
    'slide': dict(mode='slide', crop_size=(96, 96), stride=(64, 64)),
    'slide_flip': dict(mode='slide_flip', crop_size=(96, 96), stride=(64, 64)),
    'shift': dict(mode='shift', num_windows=3),
    'squash': dict(mode='squash', size=(96, 96)),
    'blend': dict(mode='blend', crop_width=64, overlap=16),
    'blend, flip': dict(mode='blend', crop_width=64, overlap=16, flip=True),
    'whole, flip': dict(mode='whole', flip=True),
}


@pytest.fixture(scope='module')
def arch(tmp_path_factory):
    return write_arch(tmp_path_factory.mktemp('arch') / 'arch', 'sd2')


@pytest.fixture(scope='module')
def build(arch):
    def build(test_cfg=MODES['whole'], head='AnySizeDepthHead', **options):
        torch.manual_seed(0)
        prompts = dict(type='ScenePrompts', classes=SCENES, adapter=dict(type='TextAdapter'))
        estimator = DiffusionDepthEstimator(
            backbone=dict(type='DiffusionUNet', arch=arch, prompts=prompts),
            decode_head=dict(type=head, **HEAD),
            test_cfg=test_cfg and ConfigDict(test_cfg),
            **options,
        )
        # The decoder is made for depth near half the maximum everywhere; here it has to say something.
        for weight in estimator.decode_head.parameters():
            if weight.dim() > 1:
                torch.nn.init.kaiming_normal_(weight)
        return estimator.eval()

    return build


def meta_of(images, *scenes):
    size = tuple(images.shape[2:])
    return [dict(ori_shape=size, img_shape=size, pad_shape=size, category_id=scene) for scene in scenes]


@torch.no_grad()
def predict(estimator, images, *scenes):
    return estimator.inference(images, meta_of(images, *scenes or [0] * len(images)))


@pytest.mark.parametrize('size', [(480, 640), (352, 1216), (333, 777)])
def test_whole_images_of_common_sizes(build, size):
    depth = predict(build(), torch.rand(1, 3, *size) * 2 - 1)
    assert depth.shape == (1, 1, *size)
    assert 0 < depth.min() < depth.max() < 7


@pytest.mark.parametrize('config', ['4xb8-25k_nyu-480x480', '8xb3-25e_nyu-480x480'])
def test_an_odd_image_in_the_test_mode_of_a_shipped_config(build, config):
    test_cfg = Config.fromfile(CONFIGS / f'vpd_sd1-5_{config}.py').model.test_cfg
    depth = predict(build(test_cfg), torch.rand(1, 3, 333, 777) * 2 - 1)
    assert depth.shape == (1, 1, 333, 777) and depth.isfinite().all()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('mode', MODES)
def test_depth_has_the_size_of_the_image(build, mode, size):
    depth = predict(build(MODES[mode]), torch.rand(1, 3, *size) * 2 - 1)
    assert depth.shape == (1, 1, *size)
    known = depth[~depth.isnan()]
    assert (0 <= known).all() and (known <= 7).all()
    assert known.numel() == depth.numel() or mode == 'shift'


def test_the_head_fits_the_images_and_gets_their_size(build):
    estimator = build()
    images = torch.rand(1, 3, 96, 100) * 2 - 1
    with torch.no_grad():
        features = estimator.backbone((F.pad(images, (0, 28, 0, 32)), torch.tensor([1])))
        expected = estimator.decode_head([*features, (96, 100)])
    torch.testing.assert_close(predict(estimator, images, 1), expected)


def test_the_scene_chooses_the_prompt(build):
    estimator = build()
    images = torch.rand(1, 3, 64, 96).repeat(2, 1, 1, 1)
    same, other = predict(estimator, images, 1, 1), predict(estimator, images, 1, 2)
    torch.testing.assert_close(same[0], other[0])
    assert (other[0] - other[1]).abs().max() > 1e-4
    unknown, untold = predict(estimator, images, -1, -1), estimator.inference(images, [dict(img_shape=(64, 96))] * 2)
    torch.testing.assert_close(unknown, untold)
    assert (unknown - same).abs().max() > 1e-4


@pytest.mark.parametrize('mode', ['slide', 'slide_flip'])
def test_slide_is_not_the_whole_image(build, mode):
    """mmseg predicts the whole image in the mode 'slide'."""
    estimator, whole = build(MODES[mode]), build()
    images = torch.rand(1, 3, 96, 160) * 2 - 1
    windows = [predict(whole, images[..., start : start + 96]) for start in (0, 64)]
    if mode == 'slide_flip':
        mirrored = [predict(whole, images[..., start : start + 96].flip(3)).flip(3) for start in (0, 64)]
        windows = [(window + mirror) / 2 for window, mirror in zip(windows, mirrored, strict=True)]
    depth = predict(estimator, images)
    torch.testing.assert_close(depth[..., :64], windows[0][..., :64])
    torch.testing.assert_close(depth[..., 64:96], (windows[0][..., 64:] + windows[1][..., :32]) / 2)
    torch.testing.assert_close(depth[..., 96:], windows[1][..., 32:])
    assert (depth - predict(whole, images)).abs().max() > 1e-3


@pytest.mark.parametrize('flip', [True, False])
def test_shift(build, flip):
    """Three windows, (163 - 96) // 2 = 33 pixels apart; of two images, each with its scene."""
    estimator, whole = build(dict(mode='shift', num_windows=3, flip=flip)), build()
    images = torch.rand(2, 3, 96, 163) * 2 - 1
    windows = [images[..., start : start + 96] for start in (0, 33, 66)]
    depths = [predict(whole, window, 2, 0) for window in windows]
    if flip:
        mirrored = [predict(whole, window.flip(3), 2, 0).flip(3) for window in windows]
        depths = [(depth + mirror) / 2 for depth, mirror in zip(depths, mirrored, strict=True)]
    depth = predict(estimator, images, 2, 0)
    torch.testing.assert_close(depth[..., :33], depths[0][..., :33])
    torch.testing.assert_close(depth[..., 33:66], (depths[0][..., 33:66] + depths[1][..., :33]) / 2)
    three = (depths[0][..., 66:] + depths[1][..., 33:63] + depths[2][..., :30]) / 3
    torch.testing.assert_close(depth[..., 66:96], three)
    torch.testing.assert_close(depth[..., 129:162], depths[2][..., 63:])
    assert depth[..., 162:].isnan().all() and depth[..., :162].isfinite().all()


def test_shift_of_a_tall_image_moves_down(build):
    estimator, whole = build(dict(mode='shift', num_windows=2, flip=False)), build()
    images = torch.rand(1, 3, 100, 64) * 2 - 1
    depth = predict(estimator, images)
    torch.testing.assert_close(depth[:, :, :36], predict(whole, images[:, :, :64])[:, :, :36])
    torch.testing.assert_close(depth[:, :, 64:], predict(whole, images[:, :, 36:])[:, :, 28:])


@pytest.mark.parametrize('batch_size', [1, 2, 5, 99])
def test_windows_in_several_batches(build, batch_size):
    images = torch.rand(2, 3, 64, 130) * 2 - 1
    at_once, one_by_one = (
        build(dict(mode='shift', num_windows=3, **options)) for options in ({}, dict(window_batch=batch_size))
    )
    torch.testing.assert_close(predict(one_by_one, images, 2, 0), predict(at_once, images, 2, 0), equal_nan=True)


@pytest.mark.parametrize('flip', [True, False])
def test_squash(build, flip):
    estimator, whole = build(dict(mode='squash', size=(96, 72), flip=flip)), build()
    images = torch.rand(2, 3, 60, 100) * 2 - 1
    squashed = F.interpolate(images, (96, 72), mode='bilinear', align_corners=True)
    expected = predict(whole, squashed, 2, 0)
    if flip:
        expected = (expected + predict(whole, squashed.flip(3), 2, 0).flip(3)) / 2
    expected = F.interpolate(expected, (60, 100), mode='bilinear', align_corners=True)
    torch.testing.assert_close(predict(estimator, images, 2, 0), expected)


def test_training(build):
    """An image of odd size: the loss compares pixel by pixel, and gradients reach all that trains."""
    estimator = build(data_preprocessor=None).train()
    images = torch.rand(2, 3, 100, 70) * 2 - 1
    samples = []
    for scene in (0, 2):
        sample = SegDataSample(gt_depth_map=PixelData(data=torch.rand(1, 100, 70) * 5 + 1))
        sample.set_metainfo(dict(category_id=scene, img_shape=(100, 70)))
        samples.append(sample)
    loss = estimator.loss(images, samples)['decode.loss_silog']
    pred = estimator.decode_head(estimator.extract_feat(images, [sample.metainfo for sample in samples]))
    truth = torch.stack([sample.gt_depth_map.data for sample in samples])
    torch.testing.assert_close(loss, estimator.decode_head.loss_decode(pred, truth))
    loss.backward()
    assert not [name for name, weight in estimator.named_parameters() if weight.requires_grad and weight.grad is None]


def test_other_heads_get_plain_features(build):
    estimator = build(head='VPDDepthHead')
    features = estimator.extract_feat(torch.rand(1, 3, 64, 128))
    assert [tuple(feature.shape[1:]) for feature in features] == [(16, 8, 16), (24, 4, 8), (32, 2, 4), (40, 1, 2)]


def test_the_test_mode_is_the_whole_image_if_nothing_is_said(build):
    for test_cfg in (None, dict()):
        assert predict(build(test_cfg), torch.rand(1, 3, 30, 40)).shape == (1, 1, 30, 40)


def test_shift_of_a_long_image_leaves_no_gap(build):
    """Two windows of 64 would not reach each other: there are four, 49 pixels apart."""
    estimator, whole = build(dict(mode='shift', num_windows=2, flip=False)), build()
    images = torch.rand(1, 3, 64, 212) * 2 - 1
    depth = predict(estimator, images)
    torch.testing.assert_close(depth[..., 64:98], predict(whole, images[..., 49:113])[..., 15:49])
    assert depth[..., :211].isfinite().all() and depth[..., 211:].isnan().all()


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(mode='flip'), "mode.*slide_flip.*'flip'"),
        (dict(mode='shift'), r'num_windows.*\b2\b'),
        (dict(mode='shift', num_windows=1), r'num_windows.*\b2\b'),
        (dict(mode='shift', num_windows='2'), r"num_windows.*\b2\b.*'2'"),
        (dict(mode='shift', num_windows=2, window_batch=0), 'window_batch'),
        (dict(mode='squash'), "'squash'.*size"),
        (dict(mode='squash', size=480), r"'squash'.*\(height, width\).*480"),
        (dict(mode='slide'), "'slide'.*crop_size"),
        (dict(mode='slide_flip', crop_size=(96, 96)), "'slide_flip'.*crop_size"),
        (dict(mode='slide', crop_size=96, stride=64), r'\(height, width\).*\b96\b'),
        (dict(mode='slide', crop_size=(96, 96), stride=(64, 0)), r'\(64, 0\)'),
    ],
)
def test_bad_test_mode(build, test_cfg, message):
    with pytest.raises(ValueError, match=message):
        build(test_cfg)


@pytest.mark.parametrize(
    'head', [dict(type='AnySizeDepthHead', **HEAD), dict(type='MetaPromptsDepthHead', in_channels=5, channels=4)]
)
def test_heads_that_fit_images_need_an_estimator_that_lets_them(arch, head):
    backbone = dict(type='DiffusionUNet', arch=arch)
    with pytest.raises(ValueError, match=rf"{head['type']}.*DepthEstimator.*type='DiffusionDepthEstimator'"):
        DepthEstimator(backbone=backbone, decode_head=head)


@torch.no_grad()
def test_whole_image_with_its_mirror_image(build):
    images = torch.rand(2, 3, 83, 120) * 2 - 1
    plain, mirrored = predict(build(), images), predict(build(), images.flip(3)).flip(3)
    torch.testing.assert_close(predict(build(MODES['whole, flip']), images), (plain + mirrored) / 2)


@torch.no_grad()
@pytest.mark.parametrize('flip', [False, True])
def test_blended_windows(build, flip):
    """Two windows of 100 columns of 160, which overlap in 40, where their weights change linearly."""
    images = torch.rand(2, 3, 64, 160) * 2 - 1
    whole = build(dict(mode='whole', flip=flip))
    left, right = (predict(whole, images[..., start : start + 100]) for start in (0, 60))
    depth = predict(build(dict(mode='blend', crop_width=100, overlap=40, flip=flip)), images)
    ramp = torch.linspace(0, 1, 40)
    torch.testing.assert_close(depth[..., :60], left[..., :60])
    torch.testing.assert_close(depth[..., 60:100], left[..., 60:] * (1 - ramp) + right[..., :40] * ramp)
    torch.testing.assert_close(depth[..., 100:], right[..., 40:])


@torch.no_grad()
def test_narrow_image_is_one_window(build):
    images = torch.rand(1, 3, 64, 90) * 2 - 1
    depth = predict(build(dict(mode='blend', crop_width=100, overlap=10)), images)
    torch.testing.assert_close(depth, predict(build(), images))


@pytest.mark.parametrize('width', [100, 101, 139, 200, 333])
@pytest.mark.parametrize('overlap', [0, 1, 30, 50])
def test_windows_cover_the_width(width, overlap):
    starts = window_starts(width, 100, overlap)
    assert starts[0] == 0 and starts[-1] == width - 100
    assert all(following - start <= 100 - overlap for start, following in zip(starts, starts[1:], strict=False))
    weights = blending_weights(width, 100, starts)
    torch.testing.assert_close(weights.sum(0), torch.ones(width))
    assert weights.min() >= 0
    for row, start in zip(weights, starts, strict=True):
        assert row[:start].sum() == row[start + 100 :].sum() == 0


@pytest.mark.parametrize(
    'wrong',
    [{}, dict(crop_width=64), dict(crop_width=64, overlap=40), dict(crop_width=64.0, overlap=4), dict(overlap=4)],
)
def test_windows_that_cannot_be_blended(build, wrong):
    with pytest.raises(ValueError, match='crop_width and overlap'):
        build(dict(mode='blend', **wrong))


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_a_scene_that_does_not_exist_is_noticed_on_the_host(build, device):
    """Wherever the model is: the host would have to wait for a GPU to look at what has been copied there."""
    estimator = build().to(device)
    images = torch.rand(2, 3, 64, 96, device=device)
    with pytest.raises(ValueError, match=r'1, 3\].*0 to 2'):
        predict(estimator, images, 1, 3)
