"""Marigold 1.1: normals."""

_base_ = ['../../_base_/models/marigold_v1-1.py', '../../_base_/zero_shot_normals.py']

model = dict(target_mode='normals', init_cfg=dict(type='Pretrained', checkpoint='prs-eth/marigold-normals-v1-1'))
