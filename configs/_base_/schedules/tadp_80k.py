"""Schedule of TADP on ADE20K: that of VPD with a stronger weight decay."""

_base_ = './vpd_80k.py'

optim_wrapper = dict(optimizer=dict(weight_decay=5e-3))
