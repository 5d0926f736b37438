import copy
from collections import OrderedDict

import pytest
import torch
from logs import heard
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmdiffperc.weights.completeness import Completeness


class Part(BaseModule):
    """Two weights."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)


class Model(BaseModule):
    """A part that checks itself, one that does not, and all that may be missing."""

    def __init__(self, whole=False):
        super().__init__()
        self.backbone = Part()
        Completeness('Own advice.', whole=True).attach(self.backbone)
        self.head = Part()
        self.norm = nn.BatchNorm2d(3)
        self.loss_decode = nn.BCEWithLogitsLoss(pos_weight=torch.ones(1))
        self.auxiliary_head = nn.Linear(3, 4)
        Completeness('The advice.', whole=whole).attach(self)


def without(model, *starts):
    return OrderedDict((name, weight) for name, weight in model.state_dict().items() if not name.startswith(starts))


def initialised(module):
    module._is_init = True
    return module


def test_a_complete_checkpoint():
    saved, model = Model(), Model()
    load_state_dict(model, saved.state_dict(), strict=True)
    assert torch.equal(model.head.linear.weight, saved.head.linear.weight)


@pytest.mark.parametrize('whole', [True, False])
def test_missing_weights_are_named(whole):
    with pytest.raises(RuntimeError, match=r'\b1 of the 8 .*Model.*head\.linear\.bias.*\(3,\).*nothing.*The advice\.'):
        load_state_dict(Model(whole), without(Model(), 'head.linear.bias'))


def test_other_shapes_are_named():
    saved = without(Model(), 'head.linear.weight') | {'head.linear.weight': torch.zeros(5, 2)}
    with pytest.raises(RuntimeError, match=r'\b1 of the 8 .*head\.linear\.weight.*\(3, 2\).*\(5, 2\)'):
        load_state_dict(Model(), saved)
    load_state_dict(initialised(Model()), saved)
    strict = initialised(Model())
    Completeness('Same.', whole=True, same_shapes=True).attach(strict)
    with pytest.raises(RuntimeError, match=r'\b1 of the 8 .*head\.linear\.weight.*\(3, 2\).*\(5, 2\).*Same\.'):
        load_state_dict(strict, saved)


def test_an_initialised_model_may_start_from_a_part():
    load_state_dict(initialised(Model()), without(Model(), 'head.'))


def test_an_initialised_part_may_be_missing():
    model = Model()
    initialised(model.head)
    load_state_dict(model, without(Model(), 'head.'))
    with pytest.raises(RuntimeError, match='norm'):
        load_state_dict(model, without(Model(), 'head.', 'norm.'))


def test_a_whole_may_be_missing_but_not_a_part_of_it():
    model = initialised(Model(whole=True))
    initialised(model.backbone)
    load_state_dict(model, OrderedDict())
    with pytest.raises(RuntimeError, match=r'\b1 of the 8 .*norm\.weight'):
        load_state_dict(model, without(Model(), 'norm.weight'))
    with pytest.raises(RuntimeError, match=r'\b6 of the 8 '):
        load_state_dict(Model(whole=True), OrderedDict())


def test_a_part_with_its_own_check():
    for model in (Model(), initialised(Model())):
        with pytest.raises(RuntimeError, match=r'\b1 of the 2 .*Part.*backbone\.linear\.bias.*Own advice'):
            load_state_dict(model, without(Model(), 'backbone.linear.bias'))


def test_weights_that_prediction_does_not_need(caplog):
    with heard(caplog):
        load_state_dict(Model(), without(Model(), 'auxiliary_head.', 'loss_decode.', 'norm.num_batches_tracked'))
    assert any('2 weights of auxiliary_head' in message for message in caplog.messages)


def test_below_a_prefix_and_in_a_copy():
    outer = copy.deepcopy(nn.ModuleDict(dict(model=Model())))
    with pytest.raises(RuntimeError, match=r'model\.norm\.weight'):
        load_state_dict(outer, without(outer, 'model.norm.weight'))
