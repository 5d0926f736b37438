"""Lotus-D for affine-invariant disparity, from Stable Diffusion 2 base."""

_base_ = [
    '../_base_/models/lotus-d_sd2-base.py',
    '../_base_/datasets/hypersim_vkitti_depth.py',
    '../_base_/schedules/lotus-d_20k.py',
    '../_base_/target_runtime.py',
]

model = dict(target_mode='F', target_scale='quantiles', target_transform='disparity')
datasets = _base_.train_dataloader.dataset.datasets
datasets[0].pipeline[2].scale = (768, 576)  # Lotus trains on larger images of Hypersim
train_dataloader = dict(batch_size=16, dataset=dict(datasets=datasets))
val_evaluator = dict(align='least_squares_disparity')
test_evaluator = val_evaluator
