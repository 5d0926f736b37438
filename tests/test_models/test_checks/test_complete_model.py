"""In testing no part of a model with a part of ours may stay random; training may start from a part."""

from collections import OrderedDict

import pytest
import torch
from logs import heard
from mmengine.model import BaseModule
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import load_state_dict
from mmseg.models.utils import resize  # noqa: F401 (registers the heads)
from torch.utils.data import DataLoader

from mmdiffperc.compat.checkpoint_hook import SafeFlexibleRunner
from mmdiffperc.seg import AnySizeDepthHead, MetaPromptsDepthHead, SimpleDecodingHead

HEADS = {
    'VPD depth': lambda: AnySizeDepthHead(
        in_channels=[16, 24, 32, 40], embed_dim=2, feature_dim=16, num_deconv_filters=(4, 4, 4)
    ),
    'MetaPrompts depth': lambda: MetaPromptsDepthHead(in_channels=5, channels=6, filters=(4, 4, 3)),
    'referring': lambda: SimpleDecodingHead((3, 5, 7, 4), 8),
}
FPN = dict(type='FPN', in_channels=[8, 16, 24, 40], out_channels=8, num_outs=4)
LOSS = dict(type='CrossEntropyLoss')
FCN_HEAD = dict(
    type='FCNHead', in_channels=8, in_index=0, channels=6, num_classes=3, norm_cfg=dict(type='BN'), loss_decode=LOSS
)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


class Model(BaseModule):
    """A head of ours behind a backbone that is not."""

    def __init__(self, kind):
        super().__init__()
        self.backbone = torch.nn.Linear(3, 2)
        self.decode_head = HEADS[kind]()


@pytest.fixture(params=HEADS)
def kind(request):
    return request.param


@pytest.fixture
def backbone(arch):
    return dict(type='DiffusionUNet', arch=arch)


@pytest.fixture
def build(backbone):
    """Return a function that builds a stock segmentor on our backbone."""
    model = dict(type='EncoderDecoder', backbone=backbone, neck=FPN, decode_head=FCN_HEAD, auxiliary_head=[FCN_HEAD])
    return lambda **changes: MODELS.build(model | changes)


def without(weights, *starts):
    return OrderedDict((name, weight) for name, weight in weights.items() if not name.startswith(starts))


def equal(weights, others):
    return all(torch.equal(weight, others[name]) for name, weight in weights.items())


def test_a_whole_checkpoint_is_loaded(kind):
    saved, model = Model(kind).state_dict(), Model(kind)
    load_state_dict(model, saved)
    assert equal(model.state_dict(), saved)


def test_a_head_must_not_stay_random(kind):
    model, lacking, reshaped = Model(kind), Model(kind).state_dict(), Model(kind).state_dict()
    first, *_, last = [name for name in lacking if name.startswith('decode_head.') and 'num_batches' not in name]
    with pytest.raises(RuntimeError, match=rf'Model.*{first}'):
        load_state_dict(model, without(lacking, 'decode_head'))
    del lacking[last]
    with pytest.raises(RuntimeError, match=rf'\b1\b.*{last}'):
        load_state_dict(model, lacking)
    reshaped[first] = torch.zeros(2, *reshaped[first].shape)
    with pytest.raises(RuntimeError, match=rf'\b1\b.*{first}.*\(2, '):
        load_state_dict(model, reshaped)


def test_training_may_start_from_a_backbone(kind):
    """Which ``load_from`` loads after the weights have been initialised."""
    model, saved = Model(kind), Model(kind).state_dict()
    model.init_weights()
    before = {name: weight.clone() for name, weight in model.decode_head.state_dict().items()}
    load_state_dict(model, without(saved, 'decode_head'))
    torch.testing.assert_close(model.backbone.weight, saved['backbone.weight'])
    assert equal(model.decode_head.state_dict(), before)


def test_print(kind):
    assert f'{HEADS[kind]().__class__.__name__}(' in repr(Model(kind))


@pytest.mark.parametrize(
    'part', ['neck.', 'decode_head.', 'decode_head.convs.0.bn.running_var', 'decode_head.conv_seg.']
)
def test_stock_parts_must_not_stay_random(build, part):
    saved, model = build().state_dict(), build()
    with pytest.raises(RuntimeError, match=rf'EncoderDecoder.*{part}.*random'):
        load_state_dict(model, without(saved, part))


def test_a_stock_head_of_another_number_of_classes(build):
    saved, model = build().state_dict(), build(decode_head=FCN_HEAD | dict(num_classes=5))
    with pytest.raises(RuntimeError, match=r'conv_seg\.weight.*\(5, 6, 1, 1\).*\(3, 6, 1, 1\)'):
        load_state_dict(model, saved)


def test_what_prediction_does_not_need_may_be_missing(build, caplog):
    saved, model = build().state_dict(), build()
    counts = tuple(name for name in saved if name.endswith('num_batches_tracked'))
    model.decode_head.loss_decode.register_buffer('balance', torch.ones(3))
    with heard(caplog):
        load_state_dict(model, without(saved, 'auxiliary_head', *counts))
    assert counts and equal(without(model.state_dict(), 'auxiliary_head', 'decode_head.loss', *counts), saved)
    assert any('auxiliary_head.0.' in message for message in caplog.messages)


def test_training_may_start_from_another_head(build):
    saved, model = build().state_dict(), build(decode_head=FCN_HEAD | dict(num_classes=5))
    model.init_weights()
    before = model.decode_head.conv_seg.weight.clone()
    load_state_dict(model, without(saved, 'neck'))
    assert torch.equal(model.decode_head.conv_seg.weight, before)
    assert torch.equal(model.decode_head.convs[0].conv.weight, saved['decode_head.convs.0.conv.weight'])


def test_training_may_start_from_a_checkpoint_in_the_config(build, tmp_path):
    """With ``init_cfg`` of the whole model, which mmengine loads amid its initialisation."""
    saved = without(build().state_dict(), 'decode_head')
    torch.save(dict(state_dict=saved), tmp_path / 'part.pth')
    model = build(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'part.pth')))
    model.init_weights()
    assert equal(saved, model.state_dict())


def test_flexible_runner_holds_testing_to_completeness(build, backbone, tmp_path):
    """It would initialise the missing head first."""
    torch.save(dict(state_dict=without(build().state_dict(), 'decode_head'), meta={}), tmp_path / 'part.pth')
    runner = SafeFlexibleRunner(
        dict(type='EncoderDecoder', backbone=backbone, neck=FPN, decode_head=FCN_HEAD),
        work_dir=str(tmp_path),
        test_dataloader=DataLoader([]),
        test_cfg={},
        test_evaluator=dict(type='DumpResults', out_file_path=str(tmp_path / 'out.pkl')),
        default_scope='mmseg',
        experiment_name='complete_model',
        load_from=str(tmp_path / 'part.pth'),
    )
    with pytest.raises(RuntimeError, match=r'decode_head'):
        runner.test()


def test_a_backbone_inside_another_module(build, backbone):
    """As where a user wraps it."""

    @MODELS.register_module(force=True)
    class WrappedBackbone(BaseModule):
        def __init__(self, inner):
            super().__init__()
            self.inner = MODELS.build(inner)

    wrapped = dict(type='WrappedBackbone', inner=backbone)
    saved, model = build(backbone=wrapped).state_dict(), build(backbone=wrapped)
    with pytest.raises(RuntimeError, match=r'decode_head\.conv_seg\.weight'):
        load_state_dict(model, without(saved, 'decode_head.conv_seg'))


def test_models_without_a_part_of_ours_are_left_alone():
    class Stock(BaseModule):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(2, 3)

    stock = Stock()
    load_state_dict(stock, OrderedDict())
    assert not stock._load_state_dict_pre_hooks
