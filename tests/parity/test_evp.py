"""EVP's refinement, depth head, referring head and test procedure, from its official names."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmdiffperc.models import AttentiveRefinementNeck, DiffusionUNet, LatentAutoencoder, TextAdapter
from mmdiffperc.seg import DiffusionDepthEstimator, MetricBinsDepthHead, MonocularDepthMetric, SimpleDecodingHead
from mmdiffperc.seg.depth import metric_bins_head
from mmdiffperc.weights.official_checkpoints import LAYOUTS

from .detweights import make_depth_pair, make_image, make_input, make_mask
from .recording import Recording, theirs_by_ours

CHANNELS = (320, 680, 1320, 1280)
BINS_TOLERANCE = 1e-4  # temperatures are near the lowest


def layout_of(name):
    return next(layout for layout in LAYOUTS if layout.name == name)


class Parts(nn.Module):
    """What follows the U-Net, and the adapter before it, under the names in the whole model."""

    def __init__(self, head, official, layout):
        super().__init__()
        self.backbone = nn.ModuleDict(dict(prompts=nn.ModuleDict(dict(adapter=TextAdapter(768)))))
        self.neck = AttentiveRefinementNeck(CHANNELS)
        self.decode_head = head
        self.theirs = theirs_by_ours(layout, self.state_dict())
        self.load_state_dict({name: official[theirs] for name, theirs in self.theirs.items()})
        assert set(self.theirs.values()) == set(official)  # none is left

    def named_officially(self):
        return {self.theirs[name]: weight for name, weight in self.named_parameters()}

    def adapt(self, tokens):
        return self.backbone['prompts']['adapter'](tokens)


def features(prefix, sizes):
    return [
        make_input(f'{prefix}_f{8 * 2**level}', (2, channels, *(side * 2 ** (3 - level) for side in sizes)), 'unit')
        for level, channels in enumerate(CHANNELS)
    ]


@pytest.fixture(scope='module')
def depth():
    return Recording('evp_depth')


@pytest.fixture(scope='module')
def depth_parts(depth):
    official = depth.weights()
    official['seed_bin_regressor._net.2.weight'] *= 6
    for index in range(4):
        official[f'attractors.{index}._net.2.weight'] *= 3
    official['conditional_log_binomial.mlp.2.weight'] *= 4
    official['conditional_log_binomial.mlp.2.bias'][2] -= 5
    loss = dict(type='MaskedSiLogLoss', pooled=True)
    head = MetricBinsDepthHead(in_channels=list(CHANNELS), max_depth=10.0, loss_decode=loss)
    return Parts(head, official, layout_of('EVP depth')).eval()


@pytest.fixture(scope='module')
def depth_run(depth_parts):
    """The refined features, the depth, the outputs of all modules and the centres of the bins at each feature.

    For 192 x 320 pixels, at stride 32 of the joined features.
    """
    found, centres, attract = {}, [], metric_bins_head.attract
    hooks = [
        module.register_forward_hook(lambda module, args, output, name=name: found.update({name: output}))
        for name, module in depth_parts.named_modules()
    ]
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(metric_bins_head, 'attract', lambda *args: centres.append(attract(*args)) or centres[-1])
        refined = depth_parts.neck(features('evp', (3, 5)))
        pred = depth_parts.decode_head([*refined, (192, 320)])
    for hook in hooks:
        hook.remove()
    return refined, pred, found, centres


def test_depth_step_by_step(depth, depth_parts, depth_run):
    """The size of the image is a multiple of 64."""
    refined, pred, found, centres = depth_run
    with torch.no_grad():
        context = depth_parts.adapt(make_input('evp_caption', (1, 40, 768), 'unit')).expand(2, -1, -1)
    expected = {
        'context': context,
        'imafr/layer2': found['neck.downs.0'],
        'imafr/layer4': found['neck.downs.1'],
        'imafr/layer6': found['neck.downs.2'],
        **{f'imafr/out{level}_stride{8 * 2**level}': feature for level, feature in enumerate(refined)},
        'conv_feats': found['decode_head.conv_aggregation'],
        'bottle_neck': found['decode_head.bottle_neck'],
        'decoder/relative_logit': found['decode_head.depth_pred_layer'],
        'decoder/out': found['decode_head.decoder.up_sample'],  # the second of its two calls
        'bins/seed_centers': F.softplus(found['decode_head.seed_bin_regressor']),
        'bins/seed_embedding': found['decode_head.seed_projector'],
        **{f'bins/projector{index}': found[f'decode_head.projectors.{index}'] for index in range(4)},
        **{f'bins/centers{index}': refined_centres for index, refined_centres in enumerate(centres)},
        'pred_d': pred,
    }
    for name, value in expected.items():
        depth.assert_agrees(value, name)
    depth.assert_agrees(found['decode_head.distribution'], 'bins/probabilities', tolerance=BINS_TOLERANCE)
    assert len(centres) == 4
    assert sum(weight.numel() for weight in depth_parts.neck.parameters()) == depth.values['parameters_imafr']


def test_the_last_row_and_column_are_cut(depth, depth_parts, depth_run):
    """Of what is padded from 480 to 512 pixels, or from 352 to 384: here, from 160 x 288 to 192 x 320."""
    refined, whole, *_ = depth_run
    with torch.no_grad():
        cut = depth_parts.decode_head([*refined, (160, 288)])
    for pred, name in ((cut, '480'), (cut, '352'), (whole, '512')):
        assert list(pred.shape) == depth.values[f'pred_shape_for_input_{name}']


@pytest.mark.parametrize(
    ('change', 'name'),
    [(dict(attractor_strength=1000.0), 'alpha_1000'), (dict(min_temperature=1e-7), 'min_temp_1e-7')],
)
def test_other_constants_change_depth(depth, depth_parts, depth_run, change, name, monkeypatch):
    ((argument, value),) = change.items()
    head, (refined, before, *_) = depth_parts.decode_head, depth_run
    monkeypatch.setattr(head.distribution if 'temp' in name else head, argument, value)
    with torch.no_grad():
        after = head([*refined, (192, 320)])
    change = ((after - before).norm() / before.norm()).item()
    assert change == pytest.approx(depth.values['relative_change_of_pred_d'][name], rel=1e-3)


def test_binomial_distribution(depth):
    probability = make_input('evp_lb_p', (2, 5, 7), '01')
    probability[0, 0, :3] = torch.tensor([0, 1, 0.5])
    temperature = make_input('evp_lb_t', (2, 1, 5, 7), '01') ** 4 * (50 - 0.0212) + 0.0212
    shares = metric_bins_head.log_binomial_softmax(probability, temperature[:, 0], 64)
    depth.assert_agrees(shares, 'log_binomial/softmax', tolerance=BINS_TOLERANCE)


def test_loss_of_a_depth_pair(depth, depth_parts):
    pred, gt = make_depth_pair('evp_silog', (2, 37, 53), 10.0)
    loss = depth_parts.decode_head.loss_decode(pred[:, None], gt[:, None])
    assert loss.item() == pytest.approx(depth.values['silog'], rel=1e-5)


def test_training_step_of_depth(depth, depth_parts):
    parts = deepcopy(depth_parts).train()
    gt = make_depth_pair('evp_gt', (2, 192, 320), 10.0)[1]
    samples = [SegDataSample(gt_depth_map=PixelData(data=each[None])) for each in gt]
    pred = parts.decode_head([*parts.neck(features('evp', (3, 5))), (192, 320)])
    loss = parts.decode_head.loss_by_feat(pred, samples)['loss_silog']
    loss.backward()
    assert loss.item() == pytest.approx(depth.values['train_loss'], rel=1e-5)
    depth.assert_agrees(pred, 'train/pred_d')
    depth.assert_gradients_agree('net', parts.named_officially())
    state = parts.state_dict()
    running = [name for name in depth.outputs.files if name.startswith('train/bn/')]
    assert len(running) == 8
    for name in running:
        ours = next(ours for ours, theirs in parts.theirs.items() if theirs == name.removeprefix('train/bn/'))
        depth.assert_agrees(state[ours], name)


@pytest.mark.parametrize(
    ('case', 'prefix', 'size', 'latent_std'),
    [('evp_depth', 'evp', (24, 40), 5.07543), ('evp_refer', 'evpr', (24, 32), 4.7164)],
)
def test_latents_are_divided_by_the_number_of_the_data_set(case, prefix, size, latent_std, arch, monkeypatch):
    autoencoder = LatentAutoencoder(arch, latent_std=latent_std)
    mode = make_input(f'{prefix}_latents', (2, 4, *size), 'unit') * 5
    moments = torch.cat([mode, torch.zeros_like(mode)], dim=1)
    monkeypatch.setattr(autoencoder.vae, '_encode', lambda images: moments)
    images = torch.zeros(2, 3, *(8 * side for side in size))
    Recording(case).assert_agrees(autoencoder.encode(images), 'latents_to_unet')


def test_timestep_of_the_backbone(arch):
    for case in ('evp_depth', 'evp_refer'):
        assert set(Recording(case).values['t']) == {DiffusionUNet(arch).timestep}


@pytest.fixture(scope='module')
def refer():
    return Recording('evp_refer')


@pytest.fixture(scope='module')
def refer_parts(refer):
    loss = dict(type='MaskedCrossEntropyLoss', class_weight=[0.9, 1.1])
    head = SimpleDecodingHead(list(CHANNELS), loss_decode=loss)
    return Parts(head, refer.weights(), layout_of('EVP referring segmentation')).eval()


def test_refer(refer, refer_parts):
    with torch.no_grad():
        refined = refer_parts.neck(features('evpr', (3, 4)))
        logits = refer_parts.decode_head(refined)
        enlarged = refer_parts.decode_head.predict(refined, [dict(img_shape=(192, 256))] * 2, {})
        context = refer_parts.adapt(make_input('evpr_l_feats', (2, 40, 768), 'unit'))
    refer.assert_agrees(context, 'context')
    refer.assert_agrees(refined[3], 'imafr/out3_stride64')
    refer.assert_agrees(logits, 'classifier')
    refer.assert_agrees(enlarged, 'logits')


def test_training_step_of_refer(refer, refer_parts):
    parts = deepcopy(refer_parts).train()
    target = torch.as_tensor(make_mask('evpr_target', (2, 192, 256), 0.3)).long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=each[None])) for each in target]
    loss = parts.decode_head.loss_by_feat(parts.decode_head(parts.neck(features('evpr', (3, 4)))), samples)['loss_ce']
    loss.backward()
    assert loss.item() == pytest.approx(refer.values['train_loss'], rel=1e-5)
    refer.assert_gradients_agree('net', parts.named_officially())


class Formula(DiffusionDepthEstimator):
    """Depth that depends on the colours and on the place inside the window, as in the recording."""

    def __init__(self, max_depth, test_cfg):
        head = dict(type='VPDDepthHead', in_channels=[16] * 4, embed_dim=2, feature_dim=16, num_deconv_filters=(2,) * 3)
        super().__init__(backbone=dict(type='mmseg.ResNet', depth=18), decode_head=head, test_cfg=test_cfg)
        self.max_depth = max_depth
        self.shapes = []

    def encode_decode(self, inputs, batch_img_metas):
        self.shapes.append(list(inputs.shape))
        rows, columns = (torch.arange(side) / side for side in inputs.shape[2:])
        slope = 0.2 * columns + 0.05 * rows[:, None]
        return (1 + self.max_depth * (0.25 * inputs.mean(1) + slope))[:, None]


WINDOWS = {
    'nyu': ((480, 640), 10.0, dict(mode='shift', num_windows=8, window_batch=1), 'nyu_crop'),
    'kitti': ((352, 1216), 80.0, dict(mode='shift', num_windows=20, window_batch=1), 'garg_crop'),
    'nyu_noshift': ((480, 640), 10.0, dict(mode='squash', size=(480, 480)), 'nyu_crop'),
}


@pytest.mark.parametrize('run', WINDOWS)
def test_windows_and_their_evaluation(run):
    """Depth is not clamped; where there is none, the metric counts the smallest depth."""
    recording = Recording('evp_windows')
    values = recording.values[run]
    size, max_depth, test_cfg, crop = WINDOWS[run]
    metric = MonocularDepthMetric(max_depth_eval=max_depth, crop_type=crop)
    for index in range(2):
        estimator = Formula(max_depth, test_cfg)
        pred = estimator.inference(make_image(f'evpw_{run}_img{index}', (1, 3, *size), 0.0, 1.0), [{}])[0]
        recording.assert_agrees(pred[0], f'{run}/pred{index}')
        assert pred[0].isnan().all(0).nonzero().flatten().tolist() == values['nan_columns']
        windows, shape = values['calls_per_image'] // 2, values['input_shape']
        assert estimator.shapes == [[2, *shape[1:]]] * windows  # each with its mirror image
        gt = make_depth_pair(f'evpw_{run}_gt{index}', (1, *size), max_depth)[1]
        metric.process({}, [dict(pred_depth_map=dict(data=pred), gt_depth_map=dict(data=gt))])
    found = metric.evaluate(2)
    assert {name: found[name] for name in values['metrics']} == pytest.approx(values['metrics'], rel=1e-5)
