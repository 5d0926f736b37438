"""Lotus-D 1.1: normals."""

_base_ = ['../../_base_/models/lotus-d_published.py', '../../_base_/zero_shot_normals.py']

model = dict(
    target_mode='normals',
    target_axes='Lotus',
    init_cfg=dict(type='Pretrained', checkpoint='jingheya/lotus-normal-d-v1-1'),
)
