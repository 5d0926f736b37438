"""SDPose's head, codec and network, from its official names."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.codecs import UDPHeatmap
from mmpose.models.heads import HeatmapHead
from mmpose.structures import PoseDataSample
from tiny_arch import write_arch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.pose import InstanceNormHeatmapHead
from mmdiffperc.weights.completeness import Completeness

from .detweights import make_image, make_input, make_mask
from .recording import Recording

SCALING = 0.18215
NET_TOLERANCE = 5e-5
RANDOM_KEYPOINTS = 1e-2  # random heatmaps make the refinement of their maxima ill-conditioned
FLIP_INDICES = [0, *(index + step for index in range(1, 17, 2) for step in (1, 0))]
IDENTITY = list(range(133))  # the recording of the whole body swaps no keypoints
KINDS = {'body': (320, 17), 'wholebody': (640, 133)}
CODEC = dict(type='UDPHeatmap', input_size=(768, 1024), heatmap_size=(192, 256), sigma=6)


def build_head(channels, keypoints, decoder=CODEC, kind=InstanceNormHeatmapHead):
    return kind(
        channels,
        keypoints,
        deconv_out_channels=(channels,),
        deconv_kernel_sizes=(4,),
        conv_out_channels=(channels,),
        conv_kernel_sizes=(1,),
        decoder=decoder,
    )


def samples_of(target=None, weights=None, flip_indices=None):
    samples = []
    for index in range(2):
        sample = PoseDataSample(metainfo=dict(flip_indices=flip_indices) if flip_indices else {})
        if target is not None:
            sample.gt_fields = PixelData(heatmaps=target[index])
            sample.gt_instance_labels = InstanceData(keypoint_weights=weights[index][None].float())
        samples.append(sample)
    return samples


@pytest.fixture(scope='module')
def head_recording():
    return Recording('sdpose_head')


@pytest.mark.parametrize('kind', KINDS)
def test_head(head_recording, kind):
    """Its layers, its loss, and the gradients of its weights and of the feature."""
    channels, keypoints = KINDS[kind]
    head = build_head(channels, keypoints)
    assert set(head.state_dict()) == set(head_recording.weights(f'manifest_{kind}.json.gz'))
    head.load_state_dict(head_recording.weights(f'manifest_{kind}.json.gz'))
    feature = make_input(f'sdp_{kind}_feat', (2, channels, 9, 7), 'unit').requires_grad_()
    head_recording.assert_agrees(head.deconv_layers(feature), f'{kind}/deconv')
    head_recording.assert_agrees(head.conv_layers(head.deconv_layers(feature)), f'{kind}/conv')
    head_recording.assert_agrees(head((feature,)), f'{kind}/heatmaps')
    target = make_input(f'sdp_{kind}_gt', (2, keypoints, 18, 14), '01')
    weights = torch.as_tensor(make_mask(f'sdp_{kind}_wt', (2, keypoints), 0.7))
    losses = head.loss((feature,), samples_of(target, weights))
    assert losses['loss_kpt'].item() == pytest.approx(head_recording.values[f'{kind}_loss_kpt'], rel=1e-5)
    assert losses['acc_pose'].item() == head_recording.values[f'{kind}_acc_pose']
    losses['loss_kpt'].backward()
    head_recording.assert_gradients_agree(kind, dict(head.named_parameters(), feature=feature))


def test_flipped_heatmaps_are_averaged(head_recording):
    head = build_head(*KINDS['body'])
    head.load_state_dict(head_recording.weights('manifest_body.json.gz'))
    feats = [(make_input(f'sdp_body_feat{name}', (2, 320, 9, 7), 'unit'),) for name in ('', '_flip')]
    with torch.no_grad():
        instances, fields = head.predict(
            feats, samples_of(flip_indices=FLIP_INDICES), dict(flip_test=True, output_heatmaps=True)
        )
    head_recording.assert_agrees(torch.stack([field.heatmaps for field in fields]), 'body_flip/heatmaps')
    keypoints = torch.as_tensor(np.concatenate([each.keypoints for each in instances]))
    head_recording.assert_agrees(keypoints, 'body_flip/keypoints', tolerance=RANDOM_KEYPOINTS)
    scores = torch.as_tensor(np.concatenate([each.keypoint_scores for each in instances]))
    head_recording.assert_agrees(scores, 'body_flip/scores')


@pytest.mark.parametrize('theirs', [HeatmapHead, InstanceNormHeatmapHead])
def test_weights_of_the_two_heads_do_not_mix(theirs):
    """In mmpose's own head, the statistics of the batch normalisation would keep their first values in silence."""
    ours = HeatmapHead if theirs is InstanceNormHeatmapHead else InstanceNormHeatmapHead
    weights = build_head(8, 3, kind=theirs).state_dict()
    head = build_head(8, 3, kind=ours)
    Completeness('Check the head', whole=True).attach(head)
    if ours is HeatmapHead:
        with pytest.raises(RuntimeError, match=r'deconv_layers\.1\.weight'):
            head.load_state_dict(weights, strict=False)
    with pytest.raises(RuntimeError, match=r'deconv_layers\.1\.'):
        head.load_state_dict(weights)


@pytest.fixture(scope='module')
def codec_recording():
    return Recording('sdpose_codec')


@pytest.fixture(scope='module')
def encoded():
    keypoints = make_input('sdp_kp', (1, 17, 2), '01').numpy() * np.float32([767, 1023])
    keypoints[0, :4] = (-3, 500), (900, 1200), (767, 1023), (400.5, 300.25)
    visible = np.array(make_mask('sdp_vis', (1, 17), 0.85), dtype=np.float32)
    visible[0, :4] = 1
    codec = UDPHeatmap(**{name: value for name, value in CODEC.items() if name != 'type'})
    return codec, codec.encode(keypoints, visible)


def test_codec_encodes(codec_recording, encoded):
    _, labels = encoded
    heatmaps = labels['heatmaps']
    assert list(heatmaps.shape) == codec_recording.values['heatmap_shape']
    codec_recording.assert_agrees(heatmaps, 'encode/heatmaps')
    flat = heatmaps.reshape(17, -1)
    argmax = np.stack([flat.argmax(1) % 192, flat.argmax(1) // 192], axis=1)
    assert np.array_equal(argmax, codec_recording.outputs['encode/argmax_xy'])
    assert np.array_equal((flat != 0).sum(1), codec_recording.outputs['encode/nonzero_count'])
    codec_recording.assert_agrees(flat.max(1), 'encode/max')
    codec_recording.assert_agrees(flat.sum(1, dtype=float), 'encode/sum')
    assert np.array_equal(labels['keypoint_weights'], codec_recording.outputs['encode/weights'])


@pytest.mark.parametrize('kind', ['clean', 'noisy'])
def test_codec_decodes(codec_recording, encoded, kind):
    codec, labels = encoded
    heatmaps = labels['heatmaps']
    if kind == 'noisy':
        heatmaps = 0.9 * heatmaps + 0.02 * make_input('sdp_noise', (17, 256, 192), '01').numpy()
    keypoints, scores = codec.decode(heatmaps)
    codec_recording.assert_agrees(keypoints, f'decode_{kind}/keypoints')
    codec_recording.assert_agrees(scores, f'decode_{kind}/scores')


@pytest.fixture(scope='module')
def net():
    return Recording('sdpose_net')


@pytest.fixture(scope='module')
def build_backbone(net, tmp_path_factory):
    """Build the backbone of a kind with the recorded weights."""
    inputs = json.loads((net.folder / 'meta.json').read_text())['inputs']
    folder = Path(write_arch(tmp_path_factory.mktemp('sdpose'), 'sd2'))
    for part in ('unet', 'vae'):
        (folder / part / 'config.json').write_text(json.dumps(inputs[f'{part}_config']))
    vae = {key.removeprefix('vae.'): value for key, value in net.weights('manifest_vae.json.gz').items()}
    vae['quant_conv.weight'][4:] = 0
    vae['quant_conv.bias'][4:] = -30
    unet = {key.removeprefix('unet.'): value for key, value in net.weights('manifest_unet.json.gz').items()}

    def build(tap, **arguments):
        settings = dict(timestep=999, task_embedding=(1, 0), scale_latents=True, sample_latents=True) | arguments
        backbone = DiffusionUNet(
            str(folder), taps=[tap], prompts=dict(type='SharedTextPrompts', embeddings='unused.pth'), **settings
        )
        ours = backbone.unet.state_dict()
        backbone.unet.load_state_dict({name: unet[name] for name in ours})
        own_vae = backbone.autoencoder.vae
        own_vae.load_state_dict({name: vae[name] for name in own_vae.state_dict()})
        backbone.prompts.embeddings.copy_(make_input('sdp_text', (1, 2, 40), 'unit')[0])
        return backbone.eval()

    return build


TAPS = {'body': ('up_blocks.3', 32, 17), 'wholebody': ('up_blocks.2', 64, 133)}


@pytest.fixture(scope='module')
def images():
    return make_image('sdp_img', (2, 3, 96, 128), -1.0, 1.0)


def net_head(net, kind):
    _, channels, keypoints = TAPS[kind]
    codec = dict(CODEC, input_size=(128, 96), heatmap_size=(32, 24))
    head = build_head(channels, keypoints, codec)
    head.load_state_dict(net.weights(f'manifest_head_{kind}.json.gz'))
    return head


@pytest.mark.parametrize('kind', TAPS)
def test_feature_and_heatmaps(net, build_backbone, images, kind):
    backbone, head = build_backbone(TAPS[kind][0]), net_head(net, kind)
    with torch.no_grad():
        (feature,) = backbone(images)
        heatmaps = head((feature,))
        instances = head.decode(heatmaps)
    assert list(feature.shape) == net.values[f'{kind}_feature_shape']
    net.assert_agrees(feature, f'{kind}/feature', tolerance=NET_TOLERANCE)
    net.assert_agrees(heatmaps, f'{kind}/heatmaps', tolerance=NET_TOLERANCE)
    scores = torch.as_tensor(np.concatenate([each.keypoint_scores for each in instances]))
    net.assert_agrees(scores, f'{kind}/scores', tolerance=NET_TOLERANCE)
    if kind == 'body':
        keypoints = torch.as_tensor(np.concatenate([each.keypoints for each in instances]))
        net.assert_agrees(keypoints, 'body/keypoints', tolerance=RANDOM_KEYPOINTS)


def test_latents_and_task(net, build_backbone, images):
    backbone = build_backbone('up_blocks.3', reconstruction_weight=1.0)
    with torch.no_grad():
        net.assert_agrees(backbone.autoencoder.encode(images, sample=True), 'latents')
        embed = backbone.unet.class_embedding
        tasks = dict(pose=backbone.inputs.task.expand(2, -1), reconstruction_FROM_PAPER=backbone.reconstruction.task)
        for name, labels in tasks.items():
            net.assert_agrees(labels, f'class_labels_{name}')
            net.assert_agrees(embed(labels), f'class_embedding_{name}')
        backbone.train()(images)
        prediction, _ = backbone.reconstruction._pending
    net.assert_agrees(prediction, 'unet_output_reconstruction_FROM_PAPER', tolerance=NET_TOLERANCE)


@pytest.mark.parametrize('kind', TAPS)
def test_flip_test(net, build_backbone, images, kind):
    """The mirrored image is encoded on its own."""
    backbone, head = build_backbone(TAPS[kind][0]), net_head(net, kind)
    flip_indices = FLIP_INDICES if kind == 'body' else IDENTITY
    with torch.no_grad():
        feats = [backbone(images), backbone(images.flip(-1))]
        _, fields = head.predict(
            feats, samples_of(flip_indices=flip_indices), dict(flip_test=True, output_heatmaps=True)
        )
    heatmaps = torch.stack([field.heatmaps for field in fields])
    net.assert_agrees(heatmaps, f'{kind}_flip/heatmaps', tolerance=NET_TOLERANCE)


@pytest.mark.parametrize('kind', TAPS)
def test_gradients_of_the_pose_loss(net, build_backbone, images, kind):
    """Of the whole U-Net and the head; what the feature does not need has been removed."""
    backbone, head = build_backbone(TAPS[kind][0]).train(), net_head(net, kind)
    target = make_input(f'sdp_net_{kind}_gt', (2, TAPS[kind][2], 24, 32), '01')
    weights = torch.as_tensor(make_mask(f'sdp_net_{kind}_wt', (2, TAPS[kind][2]), 0.7))
    loss = head.loss(backbone(images), samples_of(target, weights))['loss_kpt']
    loss.backward()
    assert loss.item() == pytest.approx(net.values[f'{kind}_pose_loss'], rel=1e-5)
    named = {f'unet.{name}': weight for name, weight in backbone.unet.named_parameters()}
    recorded = json.loads(gzip.decompress((net.folder / 'grads.json.gz').read_bytes()))[kind]
    head_names = {name for name in recorded['grad'] if not name.startswith('unet.')}
    prefix = 'head.' if any(name.startswith('head.') for name in head_names) else ''
    named |= {f'{prefix}{name}': weight for name, weight in head.named_parameters()}
    assert set(recorded['grad']) == set(named)
    net.assert_gradients_agree(kind, named)


@pytest.mark.parametrize(
    ('arguments', 'name'),
    [
        (dict(timestep=0), 'timestep_0'),
        (dict(timestep=998), 'timestep_998'),
        (dict(task_embedding=(0, 1)), 'reconstruction_labels'),
        (dict(scale_latents=False), 'latents_not_scaled'),
    ],
)
def test_other_settings_change_the_feature(net, build_backbone, images, arguments, name):
    with torch.no_grad():
        expected, found = (build_backbone('up_blocks.3', **changed)(images)[0] for changed in ({}, arguments))
    change = ((found - expected).norm() / expected.norm()).item()
    assert change == pytest.approx(net.values['relative_change_of_body_feature'][name], rel=1e-2)
