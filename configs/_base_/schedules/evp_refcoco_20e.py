"""Schedule of EVP for referring segmentation: 20 epochs, a warm-up epoch and a cosine."""

_base_ = './vpd_refcoco_40e.py'

max_epochs = 20
lowest = 1e-7 / 8e-5  # of the learning rate
in_unet = dict(lr_mult=0.01)

optim_wrapper = dict(
    optimizer=dict(lr=8e-5),
    # A hundredth of the rate for Stable Diffusion. Norms do not decay, except for those in the autoencoder and the text
    # encoder, and those in residual blocks, which have other names in the original code.
    paramwise_cfg=dict(
        custom_keys=dict(
            _delete_=True,
            **{
                'norm': dict(decay_mult=0.0),
                'backbone.unet': in_unet,
                'backbone.autoencoder': in_unet,
                'backbone.prompts.text_encoder': in_unet,
                'transformer_blocks.0.norm': dict(decay_mult=0.0, **in_unet),
                'attentions.0.norm': dict(decay_mult=0.0, **in_unet),
                'attentions.1.norm': dict(decay_mult=0.0, **in_unet),
                'attentions.2.norm': dict(decay_mult=0.0, **in_unet),
            },
        )
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=lowest, begin=0, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=lowest,
        T_max=max_epochs - 1,
        begin=1,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
