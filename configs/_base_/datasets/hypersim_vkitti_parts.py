"""Parts of the data sets that mix Hypersim and Virtual KITTI 2, nine batches to one, as in E2E-FT and Lotus."""

hypersim_size = (640, 480)  # width, height
virtual_kitti_size = (352, 1216)  # height, width of the crop, as in KITTI's benchmark

load_image = dict(type='LoadImageFromFile')
resize = dict(type='Resize', scale=hypersim_size)
crop = dict(type='KBCrop', size=virtual_kitti_size)
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackTargetInputs')

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='MixedBatchSampler', weights=[9, 1]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
