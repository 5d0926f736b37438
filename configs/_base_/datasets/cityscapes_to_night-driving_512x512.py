"""Training on Cityscapes and testing on Nighttime Driving, with captions, whose style may be named by ``style``."""

_base_ = './cityscapes_to_dark-zurich_512x512.py'

target_captions = 'data/captions/nighttimedriving_captions_min=0_max=77.json'
load_target_caption = dict(type='LoadCaption', ann_file=target_captions, template=_base_.style)
test_pipeline = [*_base_.test_pipeline[:-2], load_target_caption, _base_.pack]
tta_transforms = _base_.tta_pipeline[1]['transforms']
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[*tta_transforms[:-2], [load_target_caption], [_base_.pack]]),
]
train_dataloader = dict(batch_size=8)
val_dataloader = dict(
    dataset=dict(
        type='NightDrivingDataset',
        data_root='data/NighttimeDrivingTest/',
        data_prefix=dict(img_path='leftImg8bit/test/night', seg_map_path='gtCoarse_daytime_trainvaltest/test/night'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
