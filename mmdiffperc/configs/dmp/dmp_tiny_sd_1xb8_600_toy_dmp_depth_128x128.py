"""DMP for depth at laptop scale: tiny-sd with a LoRA, five deterministic steps, and toy scenes."""

from mmengine.config import read_base
from mmengine.model import PretrainedInit
from mmengine.optim import CosineAnnealingLR
from torch.optim import AdamW

from mmdiffperc.engine import StoreLatentsHook
from mmdiffperc.generative import DepthMapMetric, DeterministicDiffusion, SaveLoRAHook

with read_base():
    from .._base_.toy_depth_maps import *

model = dict(
    type=DeterministicDiffusion,
    arch='tiny-sd',
    prediction_type='v_prediction',
    guidance_scale=2.0,
    num_steps=5,
    lora=dict(r=16),
    target_mode='F',
    target_scale=10.0,  # metres
    init_cfg=dict(type=PretrainedInit, checkpoint='tiny-sd'),
)
# The second metric computes the RMSE as the paper does: it maps the range of each depth map to [0, 1] first.
val_evaluator = [
    dict(type=DepthMapMetric, max_depth=model['target_scale']),
    dict(type=DepthMapMetric, normalise=True, prefix='normalised'),
    dict(type=DepthMapMetric, align='least_squares', max_depth=model['target_scale'], prefix='aligned'),
]
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(type=AdamW, lr=3e-3, weight_decay=1e-2, fused=True), clip_grad=dict(max_norm=1.0))
param_scheduler = [dict(type=CosineAnnealingLR, T_max=max_iters, eta_min=0.0, by_epoch=False)]
custom_hooks.extend([dict(type=SaveLoRAHook), dict(type=StoreLatentsHook)])
