"""EVP on NYU depth v2 without captions: all images have the mean embedding of many captions.

``prompts.embeddings`` is EVP's file of captions. Checkpoints hold the embedding, so testing needs no file.
"""

_base_ = [
    '../_base_/models/evp_sd1-5_depth.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/evp_depth_15e.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        latent_std=5.07543,
        prompts=dict(
            _delete_=True,
            type='SharedTextPrompts',
            max_length=40,
            embeddings='data/nyu/nyu_class_embeddings_my_captions.pth',
            adapter=dict(type='TextAdapter'),
        ),
        frozen=['text_encoder'],  # the embedding comes from the original one
    ),
    decode_head=dict(max_depth=10.0),
    test_cfg=dict(num_windows=8),
)
train_dataloader = dict(batch_size=2, drop_last=True, sampler=dict(type='DefaultSampler'))
tta_model = dict(type='DepthTTAModel')
log_processor = dict(by_epoch=True)
