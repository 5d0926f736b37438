import pytest

from mmdiffperc.swap.features import (
    Feature,
    backbone_features,
    build_empty,
    neck_features,
)

JPU = dict(type='JPU', in_channels=(12, 20, 28), mid_channels=8, start_level=0, end_level=-1)
FPN = dict(
    type='FPN', in_channels=[8, 12, 20, 28], out_channels=16, num_outs=5, start_level=1, add_extra_convs='on_input'
)
MAPS = [Feature(12, 8), Feature(20, 16), Feature(28, 32)]
VIT = dict(type='VisionTransformer', img_size=(96, 96), embed_dims=24, num_layers=4, num_heads=2, out_indices=(1, 3))


def test_an_empty_part_has_shapes_and_no_memory():
    part = build_empty(dict(type='ResNetV1c', depth=18), 'mmseg')
    tensors = [*part.parameters(), *part.buffers()]
    assert tensors and all(tensor.is_meta for tensor in tensors)


@pytest.mark.parametrize(
    ('config', 'features'),
    [
        (dict(type='ResNetV1c', depth=18, out_indices=(1, 3)), ((128, 8), (512, 32))),
        (dict(type='ResNet', depth=50, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
         ((256, 4), (512, 8), (1024, 8), (2048, 8))),
        (VIT, ((24, 16), (24, 16))),
        (dict(VIT, img_size=96, patch_size=12), ((24, 12), (24, 12))),
    ],
)  # fmt: skip
def test_features_of_backbones(config, features):
    assert backbone_features(dict(config, init_cfg=dict(type='Pretrained', checkpoint='nowhere')), 'mmseg') == features


def test_features_are_those_of_the_host():
    """mmpose's HRNet returns the finest feature only, mmseg's all."""
    widths = dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(8,))
    extra = dict(
        stage1=widths,
        **{
            f'stage{branches}': dict(
                num_modules=1,
                num_branches=branches,
                block='BASIC',
                num_blocks=(1,) * branches,
                num_channels=tuple(6 * 2**branch for branch in range(branches)),
            )
            for branches in (2, 3, 4)
        },
    )
    config = dict(type='HRNet', extra=extra)
    assert backbone_features(config, 'mmseg') == ((6, 4), (12, 8), (24, 16), (48, 32))
    assert backbone_features(config, 'mmpose') == ((6, 4),)


@pytest.mark.parametrize(
    'config', [dict(VIT, with_cls_token=True, output_cls_token=True), dict(type='DDRNet', channels=4)]
)
def test_what_is_no_feature_map(config):
    with pytest.raises(ValueError, match=f'^{config["type"]}'):
        backbone_features(config, 'mmseg')


def test_a_neck_that_hands_features_on():
    features, sources = neck_features(JPU, 'mmseg', MAPS)
    assert features == ((12, 8), (20, 16), (4 * 8, 8))
    assert sources == ({0}, {1}, {0, 1, 2})


def test_a_neck_that_leaves_a_feature_out():
    features, sources = neck_features(FPN, 'mmdet', [Feature(8, 4), *MAPS])
    assert features == ((16, 8), (16, 16), (16, 32), (16, 64), (16, 128))
    assert [0 in of_output for of_output in sources] == [False] * 5
    assert sources[0] == {1, 2, 3} and sources[3] == {3}


def test_a_vector_covers_the_image():
    features, sources = neck_features(dict(type='GlobalAveragePooling'), 'mmpose', [Feature(28, 32)])
    assert features == ((28, 512),) and sources == ({0},)
