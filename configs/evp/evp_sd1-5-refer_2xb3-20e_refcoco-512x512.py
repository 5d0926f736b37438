"""EVP on RefCOCO. Published: 76.35 oIoU, 77.61 mIoU on val."""

_base_ = [
    '../_base_/models/evp_sd1-5_refer.py',
    '../_base_/datasets/refcoco_512x512.py',
    '../_base_/schedules/evp_refcoco_20e.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=3)
visualizer = dict(type='InputSizeVisualizer')
log_processor = dict(by_epoch=True)
