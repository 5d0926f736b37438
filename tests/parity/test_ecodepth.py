"""Depth of the official code of ECoDepth: its prompts, its neck and decoder, its loss and gradients, its evaluation."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torch import nn

from mmdiffperc.models import ImageClassPrompts, ImageTokenPrompts
from mmdiffperc.models.layers.image_classifier import square_levels
from mmdiffperc.seg import AnySizeDepthHead, DiffusionDepthEstimator, MaskedSiLogLoss, MonocularDepthMetric
from mmdiffperc.seg.depth.depth_estimator import blending_weights, window_starts
from mmdiffperc.weights.official_checkpoints import CIDE, DEPTH_NECK, OLD_VIT, _respell

from .agreement import assert_agrees, read_strides
from .detweights import make_depth_pair, make_image, make_input, make_state_dict

V1, V2, EVALUATION = (Path(__file__).parent / f'ecodepth_{case}' for case in ('v1', 'v2', 'eval'))
MEASURES = {name: name for name in ('d1', 'd2', 'd3', 'abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10')}
MEASURES['silog'] = 'kitti_silog'
MAX_DEPTH = 10.0


def read(folder, name='meta'):
    path = folder / f'{name}.json'
    return json.loads(path.read_text() if path.exists() else gzip.decompress(path.with_suffix('.json.gz').read_bytes()))


def assert_recorded(folder, **actual):
    """Compare tensors with the recorded ones; ``__`` in a name stands for a slash."""
    recorded, strides = np.load(folder / 'outputs.npz'), read_strides(folder / 'outputs.npz')
    for name, values in actual.items():
        name = name.replace('__', '/')
        assert_agrees(values.detach(), recorded[name], name, strides=strides.get(name))


def official_names(module, prefix, renamed):
    """The official name of each weight of a module, whose name in the model begins with ``prefix``."""
    names = {}
    for name in module.state_dict():
        ours, theirs = next(pair for pair in renamed.items() if f'{prefix}{name}'.startswith(pair[0]))
        names[name] = _respell(theirs + f'{prefix}{name}'.removeprefix(ours), OLD_VIT)
    return names


def fill(module, prefix, renamed, folder, absent=()):
    """Give a module the recorded weights; return their official names."""
    weights = make_state_dict(read(folder, 'manifest'))
    names = {ours: theirs for ours, theirs in official_names(module, prefix, renamed).items() if theirs in weights}
    assert set(module.state_dict()) - set(names) == set(absent)
    module.load_state_dict({ours: weights[theirs] for ours, theirs in names.items()}, strict=False)
    return names


def assert_gradients(module, names, recorded):
    """Norms within 1 %, of weights whose gradient is not rounding errors about zero."""
    largest = max(norm for norm, *_ in recorded['grad'].values())
    compared = 0
    for ours, weight in module.named_parameters():
        if weight.requires_grad and (norm := recorded['grad'][names[ours]][0]) >= 1e-4 * largest:
            assert weight.grad.norm().item() == pytest.approx(norm, rel=0.01), ours
            compared += 1
    return compared


@pytest.fixture(scope='module')
def class_prompts():
    """CIDE without the weights of its ViT, whose logits are given."""
    vit = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=1000)
    prompts = ImageClassPrompts(embed_dims=768, classifier=vit, adapter=dict(type='TextAdapter'))
    absent = [f'classifier.{name}' for name in prompts.classifier.state_dict()]
    return prompts, fill(prompts, 'backbone.prompts.', CIDE, V1, absent)


@pytest.fixture(scope='module')
def logits():
    return make_input('eco_logits', (2, 1000), 'unit') * 3


def test_prompts(class_prompts, logits):
    prompts, _ = class_prompts
    assert_recorded(V1, cide__probs=prompts.weigh(logits), cide__context=prompts.mix(logits))


def test_gradients_of_the_prompts(class_prompts, logits):
    prompts, names = class_prompts
    prompts.zero_grad()
    loss = (prompts.mix(logits) * make_input('eco_probe', (2, 1, 768), 'unit')).sum()
    assert loss.item() == pytest.approx(read(V1)['values']['cide_probe_loss'], rel=1e-5)
    loss.backward()
    assert assert_gradients(prompts, names, read(V1, 'grads')['cide']) == 10


@pytest.mark.parametrize(('name', 'size'), [('prep0', (90, 150)), ('prep1', (130, 70))])
def test_pixels_of_the_classifier(class_prompts, name, size):
    """A wide and a tall image; both are exact, because PIL resizes them."""
    images = make_image(f'eco_{name}', (2, 3, *size), -1, 1)
    recorded, strides = np.load(V1 / 'outputs.npz'), read_strides(V1 / 'outputs.npz')
    levels = square_levels(images).permute(0, 2, 3, 1).to(torch.int16)
    pixels = class_prompts[0].classifier.pixel_values(images)
    for kind, actual in {'square_int': levels, 'pixel_values': pixels}.items():
        steps = tuple(slice(None, None, stride) for stride in strides[f'{name}/{kind}'])
        np.testing.assert_allclose(actual.numpy()[steps], recorded[f'{name}/{kind}'], atol=1e-6)


@pytest.fixture(scope='module')
def token_prompts():
    vit = dict(read(V2)['inputs']['vit'])
    prompts = ImageTokenPrompts(embed_dims=48, classifier=vit)
    renamed = {'backbone.prompts.classifier.vit.': 'encoder.cide_module.vit_model.vit.'}
    return prompts, fill(prompts, 'backbone.prompts.', renamed, V2)


def test_token(token_prompts):
    """Before the final norm: with it, the distance is above 0.5. The images are those that the head has padded."""
    prompts, _ = token_prompts
    images = F.pad(make_image('eco2_img', (2, 3, 131, 197), 0, 1) * 2 - 1, (0, 59, 0, 61))
    pixels = prompts.classifier.pixel_values(images)
    assert_recorded(V2, cide_v2__pixel_values=pixels, cide_v2__context=prompts(2, images))


def test_gradients_of_the_token(token_prompts):
    prompts, names = token_prompts
    prompts.zero_grad()
    context = prompts(2, make_image('eco_prep0', (2, 3, 90, 150), -1, 1))
    loss = (context * make_input('eco2_probe', (2, 1, 48), 'unit')).sum()
    assert loss.item() == pytest.approx(read(V2)['values']['cide_probe_loss'], rel=1e-5)
    loss.backward()
    grads = read(V2, 'grads')['cide']
    assert assert_gradients(prompts, names, grads) > 40
    assert {names[name] for name, weight in prompts.named_parameters() if weight.requires_grad} == set(grads['grad'])


def build_head(folder, loss, **options):
    head = AnySizeDepthHead(
        in_channels=[320, 640, 1280, 1280], max_depth=MAX_DEPTH, padding='grey', loss_decode=loss, **options
    )
    return head, fill(head, 'decode_head.', DEPTH_NECK, folder)


def features(name, size):
    """Of strides 8, 16, 32 and 64; ``size`` is that of the coarsest."""
    widths = zip((8, 16, 32, 64), (320, 640, 1280, 1280), strict=True)
    return [
        make_input(f'{name}_f{stride}', (2, width, *(side * 64 // stride for side in size)), 'unit')
        for stride, width in widths
    ]


@torch.no_grad()
def test_neck_and_decoder():
    head, _ = build_head(V1, dict(type='MaskedSiLogLoss'), cut='depth')
    head.eval()
    inputs = features('eco', (3, 5))
    joined = head.join(inputs)
    assert_recorded(
        V1,
        net__layer1=head.conv1(inputs[0]),
        net__layer2=head.conv2(inputs[1]),
        net__conv_feats=joined,
        net__decoder_out=head.decoder(joined),
        net__pred_d=head([*inputs, (192, 320)]),
    )
    assert {head.conv1[1].num_groups, head.conv_aggregation[1].num_groups} == {16}
    assert {head.conv1[1].eps, head.conv_aggregation[1].eps} == {1e-5}


def test_training_step_of_neck_and_decoder():
    """With batch statistics, whose running means move; the loss has a weight of 10."""
    loss = MaskedSiLogLoss(pooled=True, variance_focus=0.85, loss_weight=10.0)
    head, names = build_head(V1, dict(type='MaskedSiLogLoss'), cut='depth')
    inputs = [feature.requires_grad_() for feature in features('eco', (3, 5))]
    depth = head([*inputs, (192, 320)])
    value = loss(depth, make_depth_pair('eco_gt', (2, 192, 320), MAX_DEPTH)[1][:, None])
    assert value.item() == pytest.approx(read(V1)['values']['train_loss'], rel=1e-5)
    value.backward()
    assert assert_gradients(head, names, read(V1, 'grads')['net']) > 20
    statistics = {
        f'train/bn/{theirs}': head.state_dict()[ours] for ours, theirs in names.items() if '.running_' in theirs
    }
    assert_recorded(V1, train__pred_d=depth, **statistics)
    assert len(statistics) == 8


@torch.no_grad()
def test_size_that_is_no_multiple_of_64():
    """The second version pads with grey, and cuts before the last two convolutions."""
    head, _ = build_head(V2, dict(type='MaskedSiLogLoss'), cut='decoded')
    head.eval()
    inputs = features('eco2', (3, 4))
    joined = head.join(inputs)
    depth = head([*inputs, (131, 197)])
    assert_recorded(
        V2,
        net__conv_feats=joined,
        net__decoder_out_before_unpad=head.decoder(joined),
        net__pred_d=depth,
        net__pred_d_corner=depth[..., -9:, -7:],
    )


def test_training_loss_of_the_second_version():
    head, names = build_head(V2, dict(type='MaskedSiLogLoss'), cut='decoded')
    depth = head([*features('eco2', (3, 4)), (131, 197)])
    loss = MaskedSiLogLoss(pooled=True, variance_focus=0.85)(
        depth, make_depth_pair('eco2_gt', (2, 1, 131, 197), MAX_DEPTH)[1]
    )
    assert loss.item() == pytest.approx(read(V2)['values']['train_loss'], rel=1e-5)
    loss.backward()
    assert assert_gradients(head, names, read(V2, 'grads')['net']) > 20


@pytest.mark.parametrize(
    ('weight', 'recorded'), [(10.0, read(V1)['values']['silog_v1']), (1.0, read(V2)['values']['silog_v2'])]
)
def test_loss(weight, recorded):
    pred, gt = (depth[:, None] for depth in make_depth_pair('eco_silog', (2, 37, 53), MAX_DEPTH))
    loss = MaskedSiLogLoss(pooled=True, variance_focus=0.85, loss_weight=weight)
    assert loss(pred, gt).item() == pytest.approx(recorded, rel=1e-5)


@pytest.mark.parametrize('size', ['480x640', '352x1216', '131x197', '97x131', '512x640'])
def test_padding(size):
    recorded = read(V2)['values'][f'pad_{size}']
    images = torch.ones(1, 3, *map(int, size.split('x')))
    head = AnySizeDepthHead(in_channels=[16] * 4, feature_dim=16, embed_dim=2, num_deconv_filters=(2,) * 3)
    padded = head.fit_images(images)
    assert list(padded.shape[2:]) == recorded['padded']
    assert padded[0, 0].sum() == recorded['ones'] == images[0, 0].numel()


@pytest.mark.parametrize(('crop', 'shape'), [('eigen', (480, 640)), ('garg', (352, 1216)), ('no', (352, 1216))])
def test_measures(crop, shape):
    names = {'eigen': 'nyu_crop', 'garg': 'garg_crop', 'no': None}
    max_depth = read(V2)['inputs']['max_depth']
    pred, gt = make_depth_pair(f'eco2_metric_{crop}', (1, 1, *shape), max_depth)
    metric = MonocularDepthMetric(max_depth_eval=max_depth, crop_type=names[crop], clamp=True)
    assert_measures(metric, [(pred[0, 0], gt[0, 0])], read(V2)['values'][f'metrics_{crop}'])


def assert_measures(metric, pairs, recorded):
    for pred, gt in pairs:
        metric.process({}, [dict(pred_depth_map=dict(data=pred[None]), gt_depth_map=dict(data=gt[None]))])
    found = metric.evaluate(len(pairs))
    assert {theirs: found[ours] for theirs, ours in MEASURES.items()} == pytest.approx(
        {name: recorded[name] for name in MEASURES}, rel=1e-5
    )


class Formula(nn.Module):
    """In place of the network, of the padded images: grows with colours, columns and rows, as in the recording."""

    def __init__(self, max_depth, padding):
        super().__init__()
        self.max_depth = max_depth
        self.head = AnySizeDepthHead(
            in_channels=[16] * 4, feature_dim=16, embed_dim=2, num_deconv_filters=(2,) * 3, padding=padding
        )

    def predict(self, images, metas, test_cfg):
        x = (self.head.fit_images(images * 2 - 1) + 1) / 2
        height, width = x.shape[-2:]
        slope = 0.2 * torch.arange(width) / width + 0.05 * torch.arange(height)[:, None] / height
        depth = 1 + self.max_depth * (0.25 * x.mean(1, keepdim=True) + slope)
        return depth[..., : images.shape[-2], : images.shape[-1]]


class StandIn(DiffusionDepthEstimator):
    """An estimator whose depth is that of a formula; it notes what goes through the network."""

    def __init__(self, max_depth, test_cfg):
        head = dict(type='VPDDepthHead', in_channels=[16] * 4, embed_dim=2, feature_dim=16, num_deconv_filters=(2,) * 3)
        super().__init__(backbone=dict(type='mmseg.ResNet', depth=18), decode_head=head, test_cfg=ConfigDict(test_cfg))
        self.formula = Formula(max_depth, 'black')
        self.batch_sizes = []

    def encode_decode(self, inputs, batch_img_metas):
        self.batch_sizes.append(len(inputs))
        return self.formula.predict(inputs, batch_img_metas, self.test_cfg)


BLEND = dict(mode='blend', crop_width=640, overlap=64, flip=True)
RUNS = {
    'nyu': ((480, 640), dict(mode='whole', flip=True), 'nyu_crop', 2),
    'kitti_split': ((352, 1216), BLEND, 'garg_crop', 4),
    'kitti_whole': ((352, 1216), dict(mode='whole'), 'garg_crop', 1),
    'odd': ((97, 131), dict(mode='whole', flip=True), None, 2),
}


@pytest.mark.parametrize('run', RUNS)
def test_evaluation(run):
    size, test_cfg, crop, batch_size = RUNS[run]
    recorded = read(EVALUATION)['values'][run]
    max_depth = recorded['max_depth']
    estimator = StandIn(max_depth, test_cfg)
    pairs = []
    for index in range(2):
        image = make_image(f'eval_{run}_img{index}', (1, 3, *size), 0, 1)
        depth = estimator.inference(image, [dict(ori_shape=size)])[0, 0]
        gt = make_depth_pair(f'eval_{run}_gt{index}', (1, *size), max_depth)[1][0]
        pairs.append((depth, gt))
        assert_recorded(EVALUATION, **{f'{run}__pred{index}': depth.clamp(1e-3, max_depth)})
    assert estimator.batch_sizes == [batch_size] * 2
    assert_measures(
        MonocularDepthMetric(max_depth_eval=max_depth, crop_type=crop, clamp=True), pairs, recorded['metrics']
    )


def test_weights_of_two_windows():
    starts = window_starts(1216, 640, 64)
    left, right = blending_weights(1216, 640, starts)
    assert starts == [0, 576]
    assert_recorded(EVALUATION, blend__left_weight=left, blend__right_weight=right)
