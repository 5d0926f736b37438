"""Lotus-D 2.0: affine-invariant disparity."""

_base_ = ['../../_base_/models/lotus-d_published.py', '../../_base_/zero_shot_depth.py']

model = dict(
    target_mode='F',
    target_scale='quantiles',
    target_transform='disparity',
    init_cfg=dict(type='Pretrained', checkpoint='jingheya/lotus-depth-d-v2-0-disparity'),
)

test_evaluator = [dict(evaluator, align='least_squares_disparity') for evaluator in _base_.test_evaluator]
