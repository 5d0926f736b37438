import pytest
from mmengine.config import Config

from mmdiffperc.swap.settings import drop_layer_decay, drop_old_weights, import_names, set_imports, set_preprocessor

STOCK = dict(type='SegDataPreProcessor', mean=[103.5, 116.3, 123.7], std=[1.0] * 3, bgr_to_rgb=False, size=(64, 96))
OURS = dict(STOCK, mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


def test_preprocessor():
    cfg = Config(dict(data_preprocessor=dict(STOCK, rgb_to_bgr=True), model=dict(data_preprocessor=dict(STOCK))))
    set_preprocessor(cfg)
    assert cfg.to_dict() == dict(data_preprocessor=OURS, model=dict(data_preprocessor=OURS))


def test_preprocessor_outside_the_model():
    cfg = Config(dict(data_preprocessor=dict(STOCK), model=dict()))
    set_preprocessor(cfg)
    assert cfg.model.data_preprocessor == cfg.data_preprocessor == OURS


@pytest.mark.parametrize(
    ('given', 'old', 'expected'),
    [
        (None, 'ResNet', ['mmdiffperc']),
        (dict(imports='mmdet.models', allow_failed_imports=False), 'ResNet', ['mmdiffperc', 'mmdet.models']),
        (dict(imports=['mmpretrain.models', 'mine']), 'mmpretrain.ConvNeXt', ['mmdiffperc', 'mine']),
        (dict(imports=['mmdet.models']), 'mmdet.CSPNeXt', ['mmdiffperc', 'mmdet.models']),  # a head needs it
        (dict(imports=['mmdiffperc.seg']), 'ResNet', ['mmdiffperc', 'mmdiffperc.seg']),
        (dict(imports=['mmdiffperc']), 'ResNet', ['mmdiffperc']),
    ],
)
def test_imports(given, old, expected):
    head = dict(type='Head', pixel_decoder=[dict(type='mmdet.Decoder')])
    cfg = Config(dict(custom_imports=given, model=dict(backbone=dict(type='ResNet'), decode_head=head)))
    set_imports(cfg, old)
    assert import_names(cfg) == expected
    assert cfg.custom_imports.get('allow_failed_imports') == (given or {}).get('allow_failed_imports')


def test_old_weights():
    cfg = Config(dict(load_from='coco.pth', resume=False, model=dict(pretrained='torchvision://resnet50', neck=None)))
    drop_old_weights(cfg)
    assert cfg.to_dict() == dict(load_from=None, resume=False, model=dict(neck=None))


def test_layer_decay():
    names = dict(custom_keys=dict(head=dict(lr_mult=10)))
    decayed = dict(type='OptimWrapper', constructor='LayerDecayOptimizerConstructor',
                   paramwise_cfg=dict(num_layers=12, layer_decay_rate=0.9, **names))  # fmt: skip
    cfg = Config(dict(optim_wrapper=decayed))
    drop_layer_decay(cfg)
    assert cfg.optim_wrapper.to_dict() == dict(type='OptimWrapper', paramwise_cfg=names)


def test_other_constructors_stay():
    wrapper = dict(constructor='GroupedOptimWrapperConstructor', paramwise_cfg=dict(num_layers=3))
    for given in (dict(optim_wrapper=wrapper), dict()):
        cfg = Config(given)
        drop_layer_decay(cfg)
        assert cfg.to_dict() == given
