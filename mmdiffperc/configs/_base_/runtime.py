"""What all training runs share: loops, hooks, logs, and a fixed seed."""

from mmengine.hooks import DistSamplerSeedHook, IterTimerHook, LoggerHook, ParamSchedulerHook
from mmengine.runner import IterBasedTrainLoop, TestLoop, ValLoop

from mmdiffperc.compat.checkpoint_hook import SafeCheckpointHook
from mmdiffperc.engine import CheckFiniteHook, RandomStateHook

train_cfg = dict(type=IterBasedTrainLoop)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=SafeCheckpointHook, by_epoch=False, max_keep_ckpts=2),
    sampler_seed=dict(type=DistSamplerSeedHook),
)
custom_hooks = [dict(type=RandomStateHook), dict(type=CheckFiniteHook)]
# mmengine does not run these imports when it reads a new-style config, but it runs those in the copy that training
# writes to its work folder.
custom_imports = dict(imports=['mmdiffperc'])
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
