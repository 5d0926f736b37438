"""The recipe of VPD with gradients and optimizer state sharded over the GPUs by DeepSpeed (ZeRO, stage 2)."""

_base_ = './vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'

runner_type = 'FlexibleRunner'
strategy = dict(type='DeepSpeedStrategy', zero_optimization=dict(stage=2))
optim_wrapper = dict(type='DeepSpeedOptimWrapper')
