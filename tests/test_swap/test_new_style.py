"""New-style configs, whose types are imported classes, give the same result as the classic ones."""

from importlib import import_module

import pytest
from mmengine.config import Config

from mmdiffperc import swap_backbone
from mmdiffperc.swap.new_style import registered_name, to_classic

MODEL = """
norm_cfg = dict(type={bn}, requires_grad=True)
model = dict(
    type={model},
    data_preprocessor=dict(type={preprocessor}, mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=True),
    backbone=dict(type={backbone}, depth=50, norm_cfg=norm_cfg, init_cfg=dict(type={init}, checkpoint='nowhere')),
    neck=dict(type={fpn}, in_channels=[256, 512, 1024, 2048], out_channels=8, num_outs=5),
    rpn_head=dict(type={rpn}, in_channels=8, feat_channels=8),
    roi_head=dict(type={roi}, bbox_roi_extractor=dict(
        type={extractor}, roi_layer=dict(type={align}, output_size=7), out_channels=8, featmap_strides=[4, 8, 16, 32])),
    test_cfg=dict(rcnn=dict(nms=dict(type={nms}, iou_threshold=0.5))),
)
optim_wrapper = dict(type={wrapper}, optimizer=dict(type={optimizer}, lr=0.02))
"""
CLASSES = dict(
    bn='torch.nn.BatchNorm2d',
    model='mmdet.models.FasterRCNN',
    preprocessor='mmdet.models.DetDataPreprocessor',
    backbone='mmdet.models.ResNet',
    init='mmengine.model.PretrainedInit',
    fpn='mmdet.models.FPN',
    rpn='mmdet.models.RPNHead',
    roi='mmdet.models.StandardRoIHead',
    extractor='mmdet.models.SingleRoIExtractor',
    align='mmcv.ops.RoIAlign',
    nms='mmcv.ops.nms',
    wrapper='mmengine.optim.OptimWrapper',
    optimizer='torch.optim.SGD',
)
NAMES = dict(CLASSES, bn='torch.nn.BN', init='torch.nn.Pretrained')


@pytest.fixture
def new_style(tmp_path):
    """A detector as mmdet writes them in a clone: bases by relative paths, and no default scope."""
    names = {key: path.rpartition('.') for key, path in CLASSES.items()}
    imports = '\n'.join(f'from {module} import {name}' for module, _, name in names.values())
    model = MODEL.format(**{key: name for key, (*_, name) in names.items()})
    (tmp_path / '_base_').mkdir()
    (tmp_path / '_base_' / 'model.py').write_text(imports + model)
    (tmp_path / '_base_' / 'runtime.py').write_text('default_scope = None\n')
    (tmp_path / 'new.py').write_text(
        'from mmengine.config import read_base\n\nwith read_base():\n'
        '    from ._base_.model import *\n    from ._base_.runtime import *\n\nmodel.rpn_head.update(num_convs=2)\n'
    )
    return tmp_path / 'new.py'


@pytest.fixture
def classic():
    """The same detector in the classic style."""
    names = {key: repr(path.rpartition('.')[2]) for key, path in NAMES.items()}
    cfg = Config.fromstring(MODEL.format(**names) + "default_scope = 'mmdet'", '.py')
    cfg.model.rpn_head.num_convs = 2
    return cfg


def test_the_swapped_config_equals_that_of_the_classic_style(new_style, classic, arch, tmp_path):
    swapped = swap_backbone(new_style, arch=arch, init_cfg=None)
    expected = swap_backbone(classic, arch=arch, init_cfg=None)
    assert swapped.to_dict() == expected.to_dict()
    assert swapped.default_scope == 'mmdet' and swapped.model.neck.in_channels == [8, 16, 24, 40]
    swapped.dump(tmp_path / 'swapped.py')
    assert Config.fromfile(tmp_path / 'swapped.py').to_dict() == expected.to_dict()


def test_the_given_config_keeps_its_classes(new_style, arch):
    given = Config.fromfile(new_style)
    swap_backbone(given, arch=arch, init_cfg=None)
    assert given.model.backbone.type.__name__ == 'ResNet' and given.default_scope is None


def test_an_old_backbone_whose_package_is_missing(new_style, arch):
    base = new_style.parent / '_base_' / 'model.py'
    base.write_text(base.read_text().replace('from mmdet.models import ResNet', 'from mmpretrain.models import ResNet'))
    cfg = swap_backbone(new_style, (4, 8, 16, 32), arch=arch, init_cfg=None)
    assert cfg.model.neck.in_channels == [8, 16, 24, 40] and cfg.custom_imports.imports == ['mmdiffperc']
    with pytest.raises(ValueError, match=r'^mmpretrain\.models\.ResNet.*strides='):
        swap_backbone(new_style, arch=arch, init_cfg=None)


def test_a_base_that_a_wheel_lacks(arch):
    """The only new-style config in the wheels of the hosts needs a base that they do not contain."""
    name = 'body_2d_keypoint/edpose/coco/edpose_res50_8xb2-50e_coco-800x1333.py'
    with pytest.raises(ValueError, match=r'edpose_res50.*mmpose\.configs\._base_\.default_runtime'):
        swap_backbone(f'mmpose::{name}', arch=arch)


@pytest.mark.parametrize(
    ('path', 'scope', 'name'),
    [
        ('mmseg.models.FPN', 'mmseg', 'FPN'),
        ('mmdet.models.FPN', 'mmseg', 'mmdet.FPN'),
        ('mmcv.transforms.LoadImageFromFile', 'mmseg', 'LoadImageFromFile'),
        ('mmcv.transforms.Resize', 'mmseg', 'mmengine.Resize'),  # mmseg has one of the same name
        ('mmdiffperc.models.DiffusionUNet', 'mmdet', 'DiffusionUNet'),
        ('mmpose.codecs.MSRAHeatmap', 'mmpose', 'MSRAHeatmap'),
        ('mmengine.optim.LinearLR', 'mmpose', 'LinearLR'),
        ('mmengine.hooks.CheckpointHook', 'mmseg', 'CheckpointHook'),  # replaced by this package's
        ('mmengine.dataset.pseudo_collate', 'mmdet', 'pseudo_collate'),
        ('mmcv.ops.soft_nms', 'mmdet', 'soft_nms'),
        ('torch.nn.BatchNorm2d', 'mmseg', 'BN'),
        ('torch.nn.init.ones_', 'mmseg', 'torch.nn.init.ones_'),
    ],
)
def test_names(path, scope, name):
    module, _, attribute = path.rpartition('.')
    assert registered_name(getattr(import_module(module), attribute), scope) == name


def test_a_classic_config_stays_as_it_is(classic):
    assert to_classic(classic, 'mmdet').to_dict() == classic.to_dict()
