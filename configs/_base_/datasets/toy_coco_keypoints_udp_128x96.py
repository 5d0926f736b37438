"""Figures in toy scenes, cut out at 128 x 96; unbiased data processing (UDP)."""

_base_ = './toy_coco_keypoints.py'

codec = dict(type='UDPHeatmap', input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5, blur_kernel_size=7)
crop = dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
target = dict(type='GenerateTarget', encoder=codec)
pack = dict(type='PackPoseInputs')

train_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, *_base_.augmentation, crop, target, pack]))
val_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, crop, pack]))
test_dataloader = val_dataloader
