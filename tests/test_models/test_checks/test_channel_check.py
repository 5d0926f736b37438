import pytest
from mmengine.registry import MODELS, init_default_scope

PROMPTS = dict(type='ClassPrompts', classes=['a', 'b', 'c'])
CHANNELS = [8, 16 + 3, 24 + 3, 40]
FPN = dict(type='FPN', in_channels=CHANNELS, out_channels=8, num_outs=4)
UPER_HEAD = dict(type='UPerHead', in_channels=CHANNELS, in_index=[0, 1, 2, 3], channels=8, num_classes=3)
FCN_HEAD = dict(type='FCNHead', in_channels=19, in_index=1, channels=8, num_classes=3)


@pytest.fixture
def build(arch):
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    backbone = dict(type='DiffusionUNet', arch=arch, prompts=PROMPTS, cross_attention=dict(strides=(16, 32)))
    return lambda **parts: MODELS.build(dict(type='EncoderDecoder', backbone=backbone, **parts))


def head_on_neck():
    return dict(FCN_HEAD, in_channels=8, in_index=0)


@pytest.mark.parametrize('channels', [[8, 16, 24, 40], CHANNELS[:3], [*CHANNELS, 40]])
def test_neck(build, channels):
    with pytest.raises(ValueError, match=r'FPN.*in_channels=.*in_channels=\[8, 19, 27, 40\]'):
        build(neck=dict(FPN, in_channels=channels, num_outs=len(channels)), decode_head=head_on_neck())


def test_head_without_neck(build):
    with pytest.raises(ValueError, match=r'decode_head.*UPerHead.*in_channels=\[8, 19, 27, 40\]'):
        build(decode_head=dict(UPER_HEAD, in_channels=[8, 16, 24, 40]))


def test_head_on_one_level(build):
    with pytest.raises(ValueError, match=r'decode_head.*FCNHead.*in_channels=16.*in_channels=19'):
        build(decode_head=dict(FCN_HEAD, in_channels=16))


def test_head_that_concatenates(build):
    concatenating = dict(FCN_HEAD, input_transform='resize_concat', in_index=[0, -1])
    with pytest.raises(ValueError, match=r'\b48\b'):
        build(decode_head=dict(concatenating, in_channels=[8, 24]))
    build(decode_head=dict(concatenating, in_channels=[8, 40]))


def test_auxiliary_head(build):
    with pytest.raises(ValueError, match=r'auxiliary_head.*FCNHead.*in_channels=27'):
        build(decode_head=UPER_HEAD, auxiliary_head=dict(FCN_HEAD, in_channels=24, in_index=2))


@pytest.mark.parametrize('in_index', [4, -5])
def test_a_feature_that_does_not_exist(build, in_index):
    with pytest.raises(ValueError, match=rf'FCNHead.*in_index={in_index}.*DiffusionUNet.*4'):
        build(decode_head=dict(FCN_HEAD, in_index=in_index))


@pytest.mark.parametrize('head', ['decode_head', 'auxiliary_head'])
def test_head_behind_a_neck(build, head):
    heads = dict(decode_head=head_on_neck())
    with pytest.raises(ValueError, match=rf'{head}.*FCNHead.*in_channels=9.*FPN.*8.*in_channels=8'):
        build(neck=FPN, **heads | {head: dict(FCN_HEAD, in_channels=9, in_index=2)})
    with pytest.raises(ValueError, match='FCNHead.*in_index=4.*FPN.*4.*0.*3'):
        build(neck=FPN, **heads | {head: dict(FCN_HEAD, in_channels=8, in_index=4)})


FINER = dict(type='FinerLevelNeck', in_channels=CHANNELS)


def test_sequence_of_necks(build):
    """The first gets the features of the backbone, the next those of the first."""
    coarse = dict(FPN, in_channels=[4, *CHANNELS], num_outs=5)
    with pytest.raises(ValueError, match=r'FinerLevelNeck.*in_channels=\(8, 16\).*in_channels=\(8, 19, 27, 40'):
        build(neck=[dict(FINER, in_channels=[8, 16]), dict(FPN, in_channels=[4, 8, 16])], decode_head=head_on_neck())
    with pytest.raises(ValueError, match=r'FPN.*FinerLevelNeck.*in_channels=\[4, 8, 19, 27, 40\]'):
        build(neck=[FINER, FPN], decode_head=head_on_neck())
    assert len(build(neck=[FINER, coarse], decode_head=head_on_neck()).neck) == 2


def test_what_fits_is_built(build):
    assert build(neck=FPN, decode_head=head_on_neck()).neck.in_channels == CHANNELS
    model = build(decode_head=dict(UPER_HEAD, in_channels=tuple(CHANNELS)), auxiliary_head=FCN_HEAD)
    assert (model.decode_head.in_channels, model.auxiliary_head.in_channels) == (tuple(CHANNELS), 19)


def test_other_backbones_are_left_alone():
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    backbone = dict(type='ResNet', depth=18, base_channels=4)
    model = MODELS.build(dict(type='EncoderDecoder', backbone=backbone, decode_head=dict(FCN_HEAD, in_channels=5)))
    assert model.decode_head.in_channels == 5


NECK = dict(type='MetaPromptsNeck', in_channels=CHANNELS, num_prompts=3, embed_dims=12, num_groups=4)


@pytest.fixture
def build_with_prompts(arch):
    """Build a segmentor whose backbone hands on its prompts, or does not, and a neck with other options."""
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    def build(out_prompts=True, **options):
        backbone = dict(type='DiffusionUNet', arch=arch, prompts=PROMPTS, cross_attention=dict(strides=(16, 32)))
        neck, head = dict(NECK, **options), dict(FCN_HEAD, in_channels=3, in_index=0)
        return MODELS.build(
            dict(type='EncoderDecoder', backbone=dict(backbone, out_prompts=out_prompts), neck=neck, decode_head=head)
        )

    return build


def test_neck_for_other_prompts(build_with_prompts):
    with pytest.raises(ValueError, match=r'MetaPromptsNeck.*num_prompts=4.*3.*num_prompts=3'):
        build_with_prompts(num_prompts=4)
    with pytest.raises(ValueError, match=r'MetaPromptsNeck.*embed_dims=16.*12.*embed_dims=12'):
        build_with_prompts(embed_dims=16)
    with pytest.raises(ValueError, match=r'in_channels=\[8, 19, 27, 40\]|in_channels=\(8, 19, 27, 40\)'):
        build_with_prompts(in_channels=[8, 16, 24, 40])


def test_depth_neck_for_other_prompts(build_with_prompts):
    with pytest.raises(ValueError, match=r'MetaPromptsDepthNeck.*num_prompts=4.*num_prompts=3'):
        build_with_prompts(type='MetaPromptsDepthNeck', num_prompts=4)


def test_neck_without_prompts(build_with_prompts):
    with pytest.raises(ValueError, match='DiffusionUNet.*out_prompts=True'):
        build_with_prompts(out_prompts=False)


def test_neck_that_fits_is_built(build_with_prompts):
    assert build_with_prompts().neck.num_prompts == 3
