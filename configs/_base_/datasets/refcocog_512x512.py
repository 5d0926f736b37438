"""RefCOCOg, which has longer sentences than RefCOCO: ``data/coco/refcocog/instances.json`` and ``refs(umd).p``.

UMD's split has train, val and test. Google's split has train and val, which share images. To use it, set
``split_file='refcocog/refs(google).p'``.
"""

_base_ = './refcoco_512x512.py'

files = dict(ann_file='refcocog/instances.json', split_file='refcocog/refs(umd).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=files)
test_dataloader = val_dataloader
