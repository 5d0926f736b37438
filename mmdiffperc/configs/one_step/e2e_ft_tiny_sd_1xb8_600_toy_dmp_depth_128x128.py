"""E2E-FT for affine-invariant depth at laptop scale: tiny-sd, one step, and toy scenes."""

from mmengine.config import read_base
from mmengine.model import PretrainedInit
from mmengine.optim import ExponentialLR, LinearLR, OptimWrapper
from torch.optim import AdamW

from mmdiffperc.engine import StoreLatentsHook
from mmdiffperc.generative import DepthMapMetric, OneStepDiffusion, ScaleShiftInvariantLoss

with read_base():
    from .._base_.toy_depth_maps import *

model = dict(
    type=OneStepDiffusion,
    arch='tiny-sd',
    target_input='zeros',
    target_mode='F',
    target_scale='quantiles',
    # At the last timestep, a pre-trained U-Net takes its input for noise, and 600 batches do not change that.
    timestep=1,
    prediction_type='sample',
    halve_bias=True,
    with_cp=False,
    losses=[dict(type=ScaleShiftInvariantLoss)],
    init_cfg=dict(type=PretrainedInit, checkpoint='tiny-sd'),
)
val_evaluator = dict(type=DepthMapMetric, align='least_squares', max_depth=10.0, prefix='aligned')
test_evaluator = val_evaluator

warmup = 20
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=1,
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6, begin=0, end=warmup, by_epoch=False),
    dict(type=ExponentialLR, gamma=0.01 ** (1 / (max_iters - warmup)), begin=warmup, end=max_iters, by_epoch=False),
]
custom_hooks.append(dict(type=StoreLatentsHook))
