"""Lotus-D for normals, from Stable Diffusion 2 base."""

_base_ = [
    '../_base_/models/lotus-d_sd2-base.py',
    '../_base_/datasets/hypersim_vkitti_normals.py',
    '../_base_/schedules/lotus-d_20k.py',
    '../_base_/target_runtime.py',
]

model = dict(target_mode='normals')
datasets = _base_.train_dataloader.dataset.datasets
datasets[0].pipeline[2].scale = (768, 576)  # Lotus trains on larger images of Hypersim
train_dataloader = dict(batch_size=16, dataset=dict(datasets=datasets))
