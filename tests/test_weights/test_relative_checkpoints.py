"""Checkpoints of TADP and ECoDepth, as their code lays them out, for the shipped configs at a tiny width."""

import re
from pathlib import Path

import pytest
import torch
from compvis_names import in_compvis_names
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_vit import VIT, in_old_names

from mmdiffperc.weights.official_checkpoints import LAYOUTS, convert, recognise, unwrap

CONFIGS = Path(__file__).parents[2] / 'configs'
BY_NAME = {layout.name: layout for layout in LAYOUTS}
NECK = {
    'decode_head.conv1': 'encoder.layer1',
    'decode_head.conv2': 'encoder.layer2.0',
    'decode_head.conv_aggregation': 'encoder.out_layer',
    'decode_head.decoder': 'decoder',
    'decode_head.depth_pred_layer': 'last_layer_depth',
}
CIDE = {
    r'backbone\.prompts\.embeddings': 'encoder.cide_module.embeddings',
    r'backbone\.prompts\.adapter\.gamma': 'encoder.cide_module.gamma',
    r'backbone\.prompts\.adapter\.mlp': 'encoder.cide_module.embedding_adapter.fc',
    r'backbone\.prompts\.mlp': 'encoder.cide_module.fc',
}
DETECTOR = {
    r'neck\.lateral_convs\.(\d)\.conv': r'fpn.inner_blocks.\1.0',
    r'neck\.fpn_convs\.(\d)\.conv': r'fpn.layer_blocks.\1.0',
    r'rpn_head\.rpn_conv': 'decode_head.rpn.head.conv.0.0',
    r'rpn_head\.rpn_cls': 'decode_head.rpn.head.cls_logits',
    r'rpn_head\.rpn_reg': 'decode_head.rpn.head.bbox_pred',
    r'roi_head\.bbox_head\.shared_fcs\.0': 'decode_head.roi_heads.box_head.fc6',
    r'roi_head\.bbox_head\.shared_fcs\.1': 'decode_head.roi_heads.box_head.fc7',
    r'roi_head\.bbox_head\.fc_cls': 'decode_head.roi_heads.box_predictor.cls_score',
    r'roi_head\.bbox_head\.fc_reg': 'decode_head.roi_heads.box_predictor.bbox_pred',
}
LATENT_DIFFUSION = 'sd_model.first_stage_model.'


def build(layout, arch):
    """The model of the layout's config, with features of 16, 24, 32 and 40 channels."""
    cfg = Config.fromfile(CONFIGS / BY_NAME[layout].config)
    backbone = cfg.model.backbone
    backbone.update(arch=arch, init_cfg=None)
    maps = 0
    if 'classifier' in backbone.prompts or backbone.prompts.type.startswith('Image'):
        backbone.prompts.update(classifier=VIT if 'num_scenes' in backbone.prompts else VIT | dict(hidden_size=20))
    else:
        backbone.prompts.update(max_length=9, checkpoint=None)
        maps = 9 if 'cross_attention' in backbone else 0
    widths = [16, 24 + maps, 32 + maps, 40]
    if 'neck' in cfg.model:
        cfg.model.neck.update(in_channels=widths, out_channels=8)
    else:
        cfg.model.decode_head.update(in_channels=widths, embed_dim=2, feature_dim=16, num_deconv_filters=(4, 4, 4))
    if 'roi_head' in cfg.model:
        cfg.model.rpn_head.update(in_channels=8, feat_channels=8)
        cfg.model.roi_head.bbox_roi_extractor.out_channels = 8
        cfg.model.roi_head.bbox_head.update(in_channels=8, fc_out_channels=12)
    elif 'neck' in cfg.model:
        cfg.model.decode_head.update(in_channels=[8] * 4, channels=8)
    init_default_scope(cfg.default_scope)
    import mmdet.models  # noqa: F401
    import mmseg.models  # noqa: F401

    import mmdiffperc.seg  # noqa: F401

    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def official(layout, model):
    """The weights of a model as the authors' code saves them, with what it does not need."""
    first, *others = layout.split()
    if first == 'ECoDepth':
        unet = 'unet.unet.diffusion_model.' if not others else 'unet.'
        vit = {r'backbone\.prompts\.classifier\.vit\.': 'vit_model.' + ('vit.' if others == ['v2'] else '')}
        weights = in_compvis_names(model, 'encoder.', NECK | CIDE | vit, unet)
        weights = {_old_vit(name): weight for name, weight in weights.items()}
        extra = ['encoder.encoder_vq.decoder.conv_in.bias', 'encoder.encoder_vq.post_quant_conv.bias']
        if others == ['v2']:
            extra += [f'encoder.cide_module.vit_model.{name}' for name in ('vit.layernorm.weight', 'classifier.bias')]
        return weights | {name: torch.zeros(3) for name in extra}
    tasks = {'segmentation': ('', {}), 'depth': ('encoder.', NECK), 'detection': ('model.', DETECTOR)}
    prefix, renamed = tasks[others[0]]
    weights = in_compvis_names(model, prefix, renamed, vae=LATENT_DIFFUSION)
    weights = {name: weight for name, weight in weights.items() if '.text_encoder.' not in name}
    if others == ['detection']:  # torchvision's first class is the background, which has a box, too
        classifier, boxes = (f'decode_head.roi_heads.box_predictor.{name}.' for name in ('cls_score', 'bbox_pred'))
        for name in ('weight', 'bias'):
            weights[classifier + name] = weights[classifier + name].roll(1, dims=0)
            weights[boxes + name] = torch.cat([torch.zeros_like(weights[boxes + name][:4]), weights[boxes + name]])
    unused = [
        'sd_model.betas',
        'sd_model.first_stage_model.decoder.conv_in.bias',
        'sd_model.cond_stage_model.transformer.embeddings.bias',
        'unet.unet.diffusion_model.out.0.bias',
    ]
    return weights | {prefix + name: torch.zeros(3) for name in unused}


def _old_vit(name):
    if not name.startswith('vit_model.'):
        return name
    return f'encoder.cide_module.vit_model.{in_old_names(name.removeprefix("vit_model."))}'


NAMES = [name for name in BY_NAME if re.match('ECoDepth|TADP', name)]


@pytest.fixture(params=NAMES)
def layout(request):
    return request.param


@pytest.fixture
def model(layout, archs):
    return build(layout, archs['sd2'])


def test_there_are_the_layouts_of_both():
    assert len(NAMES) == 6


def test_every_weight_finds_its_place(layout, model):
    weights = official(layout, model)
    assert recognise(weights).name == layout
    converted = convert(weights, BY_NAME[layout], model)
    expected = {name: weight for name, weight in model.state_dict().items() if '.text_encoder.' not in name}
    assert set(converted) == set(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(converted[name], weight, rtol=0, atol=0)


def test_what_is_missing_or_unexpected(layout, model):
    weights = official(layout, model)
    names = list(weights)
    del weights[names[0]]
    unexpected = next(name for name in names if '.diffusion_model.' in name or '.unet.' in name) + '.more'
    weights[unexpected] = torch.zeros(2)
    faults = f'(?s)2 weights.*missing {re.escape(names[0])}.*unexpected {re.escape(unexpected)}'
    with pytest.raises(ValueError, match=faults):
        convert(weights, BY_NAME[layout], model)


def test_wrappers():
    """Of the first release of ECoDepth, with data parallelism; and of Lightning."""
    weights = {'encoder.cide_module.gamma': torch.zeros(2)}
    wrapped = dict(model={f'module.{name}': weight for name, weight in weights.items()}, epoch=3, global_step=7)
    assert unwrap(wrapped) == unwrap(dict(state_dict=weights, hyper_parameters={})) == weights


def test_autoencoder_of_tadp_in_the_names_of_vpd(archs):
    model = build('TADP segmentation', archs['sd2'])
    weights = official('TADP segmentation', model)
    renamed = {name.replace(LATENT_DIFFUSION, 'encoder_vq.'): weight for name, weight in weights.items()}
    assert recognise(renamed).name == 'TADP segmentation'
    assert set(convert(renamed, BY_NAME['TADP segmentation'], model)) > {'backbone.unet.conv_in.weight'}


def test_another_number_of_scenes(archs):
    """The outdoor weights have 200."""
    model = build('ECoDepth', archs['sd2'])
    weights = official('ECoDepth', model)
    weights['encoder.cide_module.embeddings'] = torch.zeros(200, 20)
    with pytest.raises(ValueError, match=r'cide_module.embeddings is \(200, 20\), expected \(100, 20\)'):
        convert(weights, BY_NAME['ECoDepth'], model)
