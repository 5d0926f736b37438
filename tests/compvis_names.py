"""The weights of a model in the names of the research repositories."""

import re

from mmdiffperc.weights.compvis import unet_key_map, vae_key_map


def in_compvis_names(model, prefix, renamed, unet='unet.unet.diffusion_model.', vae='encoder_vq.'):
    """The weights of `model` in the names and shapes of CompVis below `prefix`, but for the beginnings in `renamed`."""
    unet_keys = unet_key_map(model.backbone.unet.config)
    vae_keys = vae_key_map(model.backbone.autoencoder.vae.config)
    weights = {}
    for name, weight in model.state_dict().items():
        part, _, rest = name.removeprefix('backbone.').partition('.')
        if part == 'unet':
            name = f'{prefix}{unet}{unet_keys[rest]}'
        elif part == 'autoencoder':
            name = f'{prefix}{vae}{vae_keys[rest.removeprefix("vae.")]}'
            if '.mid.attn_1.' in name and weight.dim() == 2:
                weight = weight[..., None, None]
        for ours, theirs in renamed.items():
            name = re.sub(f'^{ours}', theirs, name)
        weights[name] = weight.clone()
    return weights
