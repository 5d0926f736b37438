"""Cityscapes, with labels predicted by a network for the 20,000 images that have only coarse annotations.

These labels are in ``data/cityscapes/convert_autolabelled/<city>/<image>_gtFine_labelTrainIds.png``.
"""

_base_ = './cityscapes_1024x1024.py'

dataset = dict(type='CityscapesDataset', data_root='data/cityscapes/', pipeline=_base_.train_pipeline)
fine = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
extra = dict(img_path='leftImg8bit/train_extra', seg_map_path='convert_autolabelled')

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(**dataset, data_prefix=fine), dict(**dataset, data_prefix=extra)],
    )
)
