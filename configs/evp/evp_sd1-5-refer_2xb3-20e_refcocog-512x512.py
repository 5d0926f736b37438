"""EVP on RefCOCOg, which has longer sentences. No results are published: the official code takes 40 tokens only.

With 60 tokens, the widths can be divided into 10 groups, but not into the 20 of the other configs.
"""

_base_ = [
    '../_base_/models/evp_sd1-5_refer.py',
    '../_base_/datasets/refcocog_512x512.py',
    '../_base_/schedules/evp_refcoco_20e.py',
    'mmseg::_base_/default_runtime.py',
]

num_tokens = 60
channels = [width + num_tokens * maps for width, maps in _base_.taps]

model = dict(
    backbone=dict(prompts=dict(max_length=num_tokens)),
    neck=dict(in_channels=channels, num_groups=10),
    decode_head=dict(in_channels=channels),
)
train_dataloader = dict(batch_size=3)
visualizer = dict(type='InputSizeVisualizer')
log_processor = dict(by_epoch=True)
