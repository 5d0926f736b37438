"""The second version of ECoDepth: the class token of a trained ViT as prompt, grey padding, a loss without factor."""

_base_ = './ecodepth_sd1-5.py'

model = dict(
    backbone=dict(prompts=dict(_delete_=True, type='ImageTokenPrompts')),
    decode_head=dict(padding='grey', cut='decoded', loss_decode=dict(loss_weight=1.0)),
)
