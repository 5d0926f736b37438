"""EVP on RefCOCO+. No results are published."""

_base_ = [
    '../_base_/models/evp_sd1-5_refer.py',
    '../_base_/datasets/refcoco+_512x512.py',
    '../_base_/schedules/evp_refcoco_20e.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=3)
visualizer = dict(type='InputSizeVisualizer')
log_processor = dict(by_epoch=True)
