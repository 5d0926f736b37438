"""Mapillary Vistas v1.2 with the classes and pipelines of Cityscapes."""

_base_ = './cityscapes_1024x1024.py'

data_root = 'data/mapillary/'

for_training = dict(
    type='MapillaryAsCityscapesDataset',
    data_root=data_root,
    data_prefix=dict(img_path='training/images', seg_map_path='training/v1.2/labels'),
    pipeline=_base_.train_pipeline,
)
for_validation = dict(
    type='MapillaryAsCityscapesDataset',
    data_root=data_root,
    data_prefix=dict(img_path='validation/images', seg_map_path='validation/v1.2/labels'),
    pipeline=_base_.test_pipeline,
)
train_dataloader = dict(dataset=dict(_delete_=True, **for_training))
val_dataloader = dict(dataset=dict(_delete_=True, **for_validation))
test_dataloader = val_dataloader
