"""Schedule of segmentation and detection: 1,800 small batches, a short warm-up, and a linear decay to zero."""

from mmengine.config import read_base
from mmengine.optim import LinearLR, OptimWrapper, PolyLR
from torch.optim import AdamW

from mmdiffperc.engine import GroupedOptimWrapperConstructor

with read_base():
    from .runtime import *

max_iters = 1800
optim_wrapper = dict(
    type=OptimWrapper,
    constructor=GroupedOptimWrapperConstructor,
    optimizer=dict(type=AdamW, lr=2e-3, betas=(0.9, 0.999), weight_decay=1e-2, fused=True),
    paramwise_cfg=dict(custom_keys=dict(unet=dict(lr_mult=0.1))),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type=PolyLR, power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg.update(max_iters=max_iters, val_interval=max_iters)
default_hooks.checkpoint.update(interval=300)
