from collections import OrderedDict

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import load_state_dict

from mmdiffperc.seg import AnySizeDepthHead, MetaPromptsDepthHead, SimpleDecodingHead

HEADS = {
    'VPD depth': lambda: AnySizeDepthHead(
        in_channels=[16, 24, 32, 40], embed_dim=2, feature_dim=16, num_deconv_filters=(4, 4, 4)
    ),
    'MetaPrompts depth': lambda: MetaPromptsDepthHead(in_channels=5, channels=6, filters=(4, 4, 3)),
    'referring': lambda: SimpleDecodingHead((3, 5, 7, 4), 8),
}


class Model(BaseModule):
    """A head and what stands before it."""

    def __init__(self, kind):
        super().__init__()
        self.backbone = torch.nn.Linear(3, 2)
        self.decode_head = HEADS[kind]()


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture(params=HEADS)
def kind(request):
    return request.param


def backbone_of(weights):
    return OrderedDict((name, weight) for name, weight in weights.items() if name.startswith('backbone.'))


def test_a_whole_checkpoint_is_loaded(kind):
    saved, model = Model(kind).state_dict(), Model(kind)
    load_state_dict(model, saved)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, saved[name], rtol=0, atol=0)


def test_a_head_must_not_stay_random(kind):
    model, lacking, reshaped = Model(kind), Model(kind).state_dict(), Model(kind).state_dict()
    first, *_, last = [name for name in lacking if name.startswith('decode_head.')]
    with pytest.raises(RuntimeError, match=f'lacks .* weights of {type(model.decode_head).__name__}.*first {first}'):
        load_state_dict(model, backbone_of(lacking))
    del lacking[last]
    with pytest.raises(RuntimeError, match=f'lacks 1 of the .*first {last}: they would stay random'):
        load_state_dict(model, lacking)
    reshaped[first] = torch.zeros(2, *reshaped[first].shape)
    with pytest.raises(RuntimeError, match=f'lacks 1 of the .* in another shape, first {first}'):
        load_state_dict(model, reshaped)


def test_training_may_start_from_a_backbone(kind):
    """Which ``load_from`` loads after the weights have been initialised."""
    model, saved = Model(kind), Model(kind).state_dict()
    model.init_weights()
    before = {name: weight.clone() for name, weight in model.decode_head.state_dict().items()}
    load_state_dict(model, backbone_of(saved))
    torch.testing.assert_close(model.backbone.weight, saved['backbone.weight'])
    for name, weight in model.decode_head.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


def test_print(kind):
    assert f'{HEADS[kind]().__class__.__name__}(' in repr(Model(kind))
