"""E2E-FT for affine-invariant depth, from Stable Diffusion 2."""

_base_ = [
    '../_base_/models/e2e-ft_sd2.py',
    '../_base_/datasets/hypersim_vkitti_depth.py',
    '../_base_/schedules/e2e-ft_320k.py',
    '../_base_/target_runtime.py',
]

model = dict(target_mode='F', target_scale='quantiles', losses=[dict(type='ScaleShiftInvariantLoss')])
