"""Grouping changes the number of groups and nothing else."""

import copy

import pytest
import torch
from logs import heard
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdiffperc.engine.grouped_constructor import matching_keys, merge_groups

CUSTOM_KEYS = {'unet': dict(lr_mult=0.1), 'norm': dict(decay_mult=0.0), 'frozen': dict(lr_mult=9.0)}


class Model(nn.Module):
    """A model with something for every rule, and something frozen."""

    def __init__(self):
        super().__init__()
        self.unet = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 4))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x):
        return self.frozen(self.head(self.norm(self.unet(x))))


def optimise(model: nn.Module, constructor: str):
    """Three steps of AdamW, with a cosine schedule; the wrapper that made them."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor=constructor,
            optimizer=dict(type='AdamW', lr=0.05, weight_decay=0.3),
            paramwise_cfg=dict(custom_keys=CUSTOM_KEYS),
        ),
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(wrapper.optimizer, 5)
    for step in range(3):
        inputs = torch.linspace(-1, 2, 21).view(7, 3) * (step + 1)
        wrapper.update_params(model(inputs).square().mean())
        schedule.step()
    return wrapper


def test_the_weights_are_those_of_the_default_constructor():
    ours = Model()
    theirs = copy.deepcopy(ours)
    before = copy.deepcopy(ours.state_dict())
    grouped = optimise(ours, 'GroupedOptimWrapperConstructor')
    default = optimise(theirs, 'DefaultOptimWrapperConstructor')
    # One more than expected in both: mmengine adds a group of its own that only carries the base rate.
    assert (len(grouped.param_groups), len(default.param_groups)) == (3 + 1, 10 + 1)
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, theirs.state_dict()[name]), name
        assert torch.equal(weight, before[name]) == name.startswith('frozen'), name


def test_every_parameter_keeps_its_options():
    wrapper = optimise(model := Model(), 'GroupedOptimWrapperConstructor')
    options = {id(param): group for group in wrapper.param_groups for param in group['params']}
    assert options[id(model.unet[1].bias)]['initial_lr'] == pytest.approx(0.005)
    assert options[id(model.norm.weight)]['weight_decay'] == 0.0
    assert options[id(model.head[0].weight)]['weight_decay'] == 0.3
    assert id(model.frozen.weight) not in options


def test_groups_with_unlike_options_stay_apart():
    a, b, c = (nn.Parameter(torch.zeros(size)) for size in (1, 2, 3))
    groups = [dict(params=[a], lr=1.0), dict(params=[b], lr=1.0, betas=[0.9, 0.99]), dict(params=[c], lr=1.0)]
    merged = merge_groups(groups)
    assert [[len(param) for param in group['params']] for group in merged] == [[1, 3], [2]]
    assert groups[0]['params'] == [a]  # what came in is left as it was


def test_the_log_has_one_line_per_group(caplog):
    with heard(caplog):
        optimise(Model(), 'GroupedOptimWrapperConstructor')
    (record,) = caplog.records
    header, unet, norm, head, frozen = (line.split() for line in record.getMessage().splitlines()[1:])
    assert header == ['lr', 'weight_decay', 'tensors', 'weights', 'custom_keys', 'part']
    assert unet == ['0.005', '0.3', '4', '44', 'unet', 'unet']  # 3 * 5 + 5 and 5 * 4 + 4
    assert norm == ['0.05', '0', '2', '8', 'norm', 'norm']
    assert head == ['0.05', '0.3', '4', '44', 'head']  # 4 * 6 + 6 and 6 * 2 + 2
    assert frozen == ['frozen', '2', '6', 'frozen']


def test_other_warnings_are_still_logged(caplog):
    model = Model()
    model.tied = nn.LayerNorm(4)
    model.tied.weight = model.norm.weight
    options = dict(norm_decay_mult=0.0, bypass_duplicate=True)
    with heard(caplog):
        build_optim_wrapper(
            model,
            dict(
                constructor='GroupedOptimWrapperConstructor',
                optimizer=dict(type='SGD', lr=0.5, weight_decay=0.25),
                paramwise_cfg=options,
            ),
        )
    assert 'tied' in caplog.records[0].getMessage() and caplog.records[0].levelname == 'WARNING'
    lines = [line.split() for line in caplog.records[-1].getMessage().splitlines()[2:]]
    assert [line[:2] for line in lines] == [['0.5', '0.25'], ['0.5', '0'], ['frozen', '2']]


def test_the_longest_key_in_a_name_wins():
    keys = ['unet', 'norm', 'backbone.unet']
    assert matching_keys(['backbone.unet.norm.bias', 'neck.norm.bias', 'neck.bias'], keys) == ['backbone.unet', 'norm']


def test_keys_of_one_length_are_tried_alphabetically():
    assert matching_keys(['unet.norm.bias'], ['unet', 'norm']) == ['norm']


def test_eight_bit_optimizer_that_is_not_there():
    with pytest.raises(ValueError, match='AdamX8bit.*bitsandbytes.*(AdamW8bit|mmdiffperc.memory)'):
        build_optim_wrapper(
            Model(), dict(constructor='GroupedOptimWrapperConstructor', optimizer=dict(type='AdamX8bit', lr=0.1))
        )
