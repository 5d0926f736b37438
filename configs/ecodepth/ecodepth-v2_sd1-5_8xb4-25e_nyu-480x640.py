"""The second version of ECoDepth on NYU depth v2, with the schedule of the first."""

_base_ = [
    '../_base_/models/ecodepth-v2_sd1-5.py',
    '../_base_/datasets/nyu_480x640.py',
    '../_base_/schedules/ecodepth_25e.py',
    'mmseg::_base_/default_runtime.py',
]

tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
