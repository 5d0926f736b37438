"""The zero-shot test of depth, for models without other test data."""

_base_ = ['./datasets/zero_shot_depth.py', './target_runtime.py']

test_dataloader = _base_.zero_shot_dataloaders
test_evaluator = _base_.zero_shot_evaluators
test_cfg = dict(type='ZeroShotTestLoop')
