import pytest
from logs import heard
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

import mmdiffperc.seg  # noqa: F401  (registers what is tested)


class Model(nn.Module):
    """Parameters of all kinds: slow, without decay, frozen."""

    def __init__(self):
        super().__init__()
        self.unet = nn.Conv2d(3, 2, 1)
        self.head = nn.Linear(2, 5)
        self.vae = nn.Linear(4, 4).requires_grad_(False)


def wrapper(constructor):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return build_optim_wrapper(
            Model(),
            dict(
                type='OptimWrapper',
                constructor=constructor,
                optimizer=dict(type='AdamW', lr=0.5, weight_decay=0.25),
                paramwise_cfg=dict(
                    flat_decay_mult=0, force_default_settings=True, custom_keys=dict(unet=dict(lr_mult=0.01))
                ),
            ),
        )


def test_the_groups_are_those_of_mmseg():
    ours, theirs = (wrapper(f'{kind}ForceDefaultOptimWrapperConstructor').param_groups for kind in ('Brief', ''))
    assert len(ours) == len(theirs) == 6 + 1  # mmengine adds one that carries the base rate
    for group, expected in zip(ours, theirs, strict=True):
        assert (group['lr'], group['weight_decay']) == pytest.approx((expected['lr'], expected['weight_decay']))


def test_the_log_has_one_line_per_kind(caplog):
    with heard(caplog):
        wrapper('BriefForceDefaultOptimWrapperConstructor')
    (record,) = caplog.records
    rows = [line.split() for line in record.getMessage().splitlines()[2:]]
    assert rows == [
        ['0.005', '0.25', '1', '6', 'unet', 'unet.weight'],  # 3 * 2
        ['0.005', '0', '1', '2', 'unet', 'unet.bias'],
        ['0.5', '0.25', '1', '10', 'head.weight'],  # 2 * 5
        ['0.5', '0', '1', '5', 'head.bias'],
        ['frozen', '2', '20', 'vae'],  # 4 * 4 + 4
    ]
