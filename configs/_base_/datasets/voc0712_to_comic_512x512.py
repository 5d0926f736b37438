"""Training on Pascal VOC 2007 and 2012 and testing on Comic2k, with captions, whose style may be named."""

_base_ = './voc0712_to_watercolor_512x512.py'

target_captions = 'data/captions/comic_captions.json'
style = 'a comic style painting of a {}'
target = 'comic'
test_pipeline = [
    *_base_.test_pipeline[:-2],
    dict(type='LoadCaption', ann_file=target_captions, template=style),
    _base_.test_pipeline[-1],
]
val_dataloader = dict(
    dataset=dict(
        ann_file=f'{target}/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root=f'{target}/'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
