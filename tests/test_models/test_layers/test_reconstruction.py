"""Reconstruction of the image as a second task, in models of all hosts."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from tiny_arch import write_diffusers_folder

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers.reconstruction import add_loss, to_input

SIZE = (64, 96)
WEIGHT = 0.5
BACKBONE = dict(
    type='DiffusionUNet', scale_latents=True, timestep=999, task_embedding=(1, 0), reconstruction_weight=WEIGHT
)
WIDTHS = [8, 16, 24, 40]  # of the tiny architecture
LAST = dict(in_channels=8, out_channels=3, deconv_out_channels=(4,), deconv_kernel_sizes=(4,))
RGB = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


def pose_model(arch, **backbone):
    init_default_scope('mmpose')
    import mmpose.models  # noqa: F401
    from mmpose.registry import MODELS

    codec = dict(type='UDPHeatmap', input_size=SIZE[::-1], heatmap_size=(24, 16), sigma=2)
    return MODELS.build(
        dict(
            type='TopdownPoseEstimator',
            data_preprocessor=dict(type='PoseDataPreprocessor', **RGB),
            backbone=BACKBONE | dict(arch=arch, taps=['up_blocks.3']) | backbone,
            head=dict(type='HeatmapHead', **LAST, decoder=codec),
        )
    )


def pose_samples(metas):
    from mmpose.structures import PoseDataSample

    samples = []
    for meta in metas:
        sample = PoseDataSample(metainfo=meta)
        sample.gt_fields = PixelData(heatmaps=torch.rand(3, 16, 24))
        sample.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, 3))
        samples.append(sample)
    return samples


def seg_model(arch, **backbone):
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401
    from mmseg.registry import MODELS

    return MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', **RGB, size=SIZE),
            backbone=BACKBONE | dict(arch=arch, out_indices=(0,)) | backbone,
            decode_head=dict(type='FCNHead', in_channels=8, in_index=0, channels=4, num_convs=1, num_classes=2),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )


def seg_samples(metas):
    from mmseg.structures import SegDataSample

    samples = []
    for meta in metas:
        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=torch.randint(2, (1, *SIZE)))
        samples.append(sample)
    return samples


def det_model(arch, **backbone):
    init_default_scope('mmdet')
    import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS

    return MODELS.build(
        dict(
            type='FCOS',
            data_preprocessor=dict(type='DetDataPreprocessor', **RGB, pad_size_divisor=32),
            backbone=BACKBONE | dict(arch=arch) | backbone,
            neck=dict(type='FPN', in_channels=WIDTHS, out_channels=8, num_outs=5),
            bbox_head=dict(
                type='FCOSHead',
                num_classes=2,
                in_channels=8,
                feat_channels=32,
                stacked_convs=1,
                strides=[8, 16, 32, 64, 128],
            ),
        )
    )


def det_samples(metas):
    from mmdet.structures import DetDataSample

    samples = []
    for meta in metas:
        sample = DetDataSample(metainfo=meta | dict(img_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 50, 40]]), labels=torch.tensor([1]))
        samples.append(sample)
    return samples


HOSTS = dict(mmpose=(pose_model, pose_samples), mmseg=(seg_model, seg_samples), mmdet=(det_model, det_samples))


def bgr_images():
    return np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)


def to_rgb(images):
    return torch.from_numpy(images[..., ::-1].transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1


def expected_loss(backbone, images, clean):
    """The formula, by the U-Net itself."""
    read, target = (backbone.autoencoder.encode(each) for each in (images, clean))
    labels = torch.tensor([0.0, 1]).repeat(2, 1)
    labels = torch.cat([labels.sin(), labels.cos()], dim=1)
    output = backbone.unet(read, 999, backbone.prompts(2), class_labels=labels).sample
    return WEIGHT * F.mse_loss(output, target)


@pytest.mark.parametrize('host', HOSTS)
@pytest.mark.parametrize('is_disturbed', [True, False])
def test_any_host_adds_the_loss(arch, host, is_disturbed):
    """The target is the clean image of the meta information, or else the image that the U-Net reads."""
    build, make_samples = HOSTS[host]
    model = build(arch).train()
    clean, disturbed = bgr_images(), bgr_images()
    disturbed[:, :20, :30] = 0
    metas = [dict(clean_img=image) if is_disturbed else {} for image in clean]
    losses = model(inputs=to_rgb(disturbed), data_samples=make_samples(metas), mode='loss')
    target = clean if is_disturbed else disturbed
    with torch.no_grad():
        expected = expected_loss(model.backbone, to_rgb(disturbed), to_rgb(target))
    torch.testing.assert_close(losses['loss_reconstruction'].detach(), expected)
    total, log = model.parse_losses(losses)
    assert log['loss_reconstruction'] == losses['loss_reconstruction']
    total.backward()
    weights = {name: weight for name, weight in model.backbone.named_parameters() if weight.requires_grad}
    assert all(weight.grad is not None for weight in weights.values())
    assert weights['unet.conv_out.weight'].grad.abs().sum() > 0


@pytest.mark.parametrize('host', HOSTS)
def test_other_calls_stay_as_they_are(arch, host):
    build, make_samples = HOSTS[host]
    model = build(arch).eval()
    with torch.no_grad():
        output = model(inputs=to_rgb(bgr_images()), data_samples=make_samples([{}, {}]), mode='tensor')
    assert not isinstance(output, dict)
    plain = build(arch, reconstruction_weight=0.0).train()
    assert not plain._forward_hooks
    assert 'loss_reconstruction' not in plain(to_rgb(bgr_images()), make_samples([{}, {}]), mode='loss')


def test_gradients_are_the_sum_of_both_tasks(arch):
    model = pose_model(arch, reconstruction_weight=1.0).train()
    inputs, samples = to_rgb(bgr_images()), pose_samples([{}, {}])
    grads = {}
    for name in ('loss_kpt', 'loss_reconstruction', 'both'):
        model.zero_grad()
        losses = model(inputs, samples, mode='loss')
        (losses['loss_kpt'] + losses['loss_reconstruction'] if name == 'both' else losses[name]).backward()
        grads[name] = model.backbone.unet.conv_in.weight.grad.clone()
    torch.testing.assert_close(grads['both'], grads['loss_kpt'] + grads['loss_reconstruction'])
    assert grads['loss_kpt'].abs().sum() > 0 and grads['loss_reconstruction'].abs().sum() > 0


def test_copies_and_pickles_add_their_own_loss(arch):
    model = pose_model(arch).train()
    inputs, samples = to_rgb(bgr_images()), pose_samples([{}, {}])
    model.backbone(inputs)  # leaves a pass without a loss
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            other.backbone.unet.conv_out.bias.add_(1.0)
        losses = [each(inputs, samples, mode='loss')['loss_reconstruction'] for each in (model, other)]
        assert losses[1] > losses[0]


def test_a_runner_adds_the_backbone_again(arch):
    """It converts batch normalisations, which replaces every module by the result."""
    model = revert_sync_batchnorm(pose_model(arch)).train()
    losses = model(to_rgb(bgr_images()), pose_samples([{}, {}]), mode='loss')
    assert losses['loss_reconstruction'] > 0 and len(model._forward_hooks) == 1


def test_a_loss_without_a_pass(arch):
    model = pose_model(arch)
    with pytest.raises(RuntimeError, match='training mode'):
        model.backbone.reconstruction.loss({})
    assert add_loss('backbone', model, (), dict(mode='predict'), []) is None


def test_padding_and_channels_of_clean_images():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    inputs = torch.zeros(1, 3, 8, 7)
    found = to_input(image, inputs, flip=True)
    assert found.shape == (3, 8, 7) and not found[:, 5:].any() and not found[:, :, 6:].any()
    torch.testing.assert_close(found[0, :5, :6], torch.from_numpy(image[..., 2].copy()) / 127.5 - 1)
    torch.testing.assert_close(to_input(image, inputs, flip=False)[2], found[0])
    with pytest.raises(ValueError, match='clean_img is 5 x 6.*4 x 7.*KeepCleanImage'):
        to_input(image, torch.zeros(1, 3, 4, 7), flip=True)


def test_a_plain_unet_gets_a_task_embedding(arch, tmp_path):
    """It starts at zero, so that both tasks are the same at first."""
    weights = write_diffusers_folder(tmp_path / 'weights', arch)
    init_cfg = dict(type='Pretrained', checkpoint=weights)
    plain = DiffusionUNet(arch, init_cfg=init_cfg)
    tasks = DiffusionUNet(arch, task_embedding=(1, 0), reconstruction_weight=1.0, init_cfg=init_cfg)
    for backbone in (plain, tasks):
        backbone.init_weights()
    images = torch.rand(1, 3, *SIZE) * 2 - 1
    with torch.no_grad():
        for found, expected in zip(tasks(images), plain(images), strict=True):
            torch.testing.assert_close(found, expected)
    assert not tasks.unet.class_embedding.linear_2.weight.any() and tasks.unet.class_embedding.linear_1.weight.any()
    assert tasks.unet.config.class_embed_type == 'projection'
    torch.nn.init.normal_(tasks.unet.class_embedding.linear_2.weight)
    tasks.unet.save_pretrained(tmp_path / 'weights' / 'unet')
    again = DiffusionUNet(arch, task_embedding=(1, 0), reconstruction_weight=1.0, init_cfg=init_cfg)
    again.init_weights()
    for name, weight in again.unet.state_dict().items():
        assert torch.equal(weight, tasks.unet.state_dict()[name]), name


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(), 'reconstruction_weight=1.0.*task_embedding'),
        (dict(task_embedding=(1, 0), num_refine_steps=2), 'num_refine_steps=2.*reconstruction_weight=1.0'),
        (dict(task_embedding=(1, 0), noise='fixed'), "noise='fixed'.*reconstruction_weight=1.0"),
        (dict(task_embedding=(1, 0), timestep=(1, 9)), r'timestep=\(1, 9\).*reconstruction_weight=1.0'),
        (dict(task_embedding=(1, 0), reconstruction_weight=-1.0), 'reconstruction_weight=-1.0'),
    ],
)
def test_bad_arguments(arch, arguments, words):
    with pytest.raises(ValueError, match=words):
        DiffusionUNet(arch, **dict(reconstruction_weight=1.0) | arguments)
