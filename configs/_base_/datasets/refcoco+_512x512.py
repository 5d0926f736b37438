"""RefCOCO+, whose sentences do not mention positions: ``data/coco/refcoco+/instances.json`` and ``refs(unc).p``.

The splits are RefCOCO's: train, val, testA and testB.
"""

_base_ = './refcoco_512x512.py'

files = dict(ann_file='refcoco+/instances.json', split_file='refcoco+/refs(unc).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=files)
test_dataloader = val_dataloader
