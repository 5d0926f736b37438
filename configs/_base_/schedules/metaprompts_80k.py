"""Schedule of MetaPrompts' segmentation: that of VPD."""

_base_ = './vpd_80k.py'

optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            # Treated like `resnets`: the original code calls it `out.0`, which 'norm' does not match.
            'conv_norm_out': dict(lr_mult=0.1),
        }
    ),
)
