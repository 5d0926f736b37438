"""ECoDepth trained on NYU depth v2, tested on SUN RGB-D, iBims-1, DIODE and Hypersim without fine-tuning."""

_base_ = ['./ecodepth_sd1-5_8xb4-25e_nyu-480x640.py', '../_base_/datasets/zero_shot_metric_depth.py']

test_dataloader = _base_.zero_shot_dataloaders
test_evaluator = _base_.zero_shot_evaluators
test_cfg = dict(_delete_=True, type='ZeroShotTestLoop')
