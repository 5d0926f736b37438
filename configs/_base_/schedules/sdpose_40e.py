"""Schedule of SDPose: 40 epochs at one learning rate, after a short warm-up.

The paper gives the rate, the batch size and the number of epochs. Weight decay and warm-up are our choice.
"""

_base_ = './metaprompts_coco_210e.py'

optim_wrapper = dict(optimizer=dict(lr=3e-5, weight_decay=1e-2), paramwise_cfg=dict(_delete_=True), clip_grad=None)
param_scheduler = [dict(type='LinearLR', start_factor=1e-3, begin=0, end=500, by_epoch=False)]
auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_epochs=40, val_interval=5)
