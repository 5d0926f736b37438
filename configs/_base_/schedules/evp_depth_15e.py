"""Schedule of EVP for depth: 15 epochs, a warm-up epoch and a cosine, a hundredth of the rate for Stable Diffusion."""

_base_ = './vpd_nyu_25e.py'

max_epochs = 15
lowest = 0.15  # of the learning rate: from 2e-4 to 3e-5

optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(
        custom_keys={f'backbone.{part}': dict(lr_mult=0.01) for part in ('unet', 'autoencoder', 'prompts.text_encoder')}
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
