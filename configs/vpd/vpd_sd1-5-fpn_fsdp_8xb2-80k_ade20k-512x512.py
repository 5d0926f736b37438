"""The recipe of VPD with weights, gradients and optimizer state sharded over the GPUs (FSDP)."""

_base_ = './vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'

runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    model_wrapper=dict(type='MMFullyShardedDataParallel', auto_wrap_policy='wrap_diffusion_blocks'),
    state_dict_cfg='full',  # checkpoints equal those of the unsharded model
)
