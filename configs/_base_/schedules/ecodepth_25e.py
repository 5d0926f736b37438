"""Schedule of ECoDepth: that of VPD for depth, with ten times the rate for the scene embeddings."""

_base_ = './vpd_nyu_25e.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'embeddings': dict(lr_mult=10.0)}))
