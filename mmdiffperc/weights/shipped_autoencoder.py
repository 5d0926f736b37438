"""Checkpoints with tiny-sd need not hold its frozen autoencoder, which ships with the package."""

import torch
from mmengine.model import BaseModule

from mmdiffperc.models.layers.latent_autoencoder import LatentAutoencoder

from .stable_diffusion import load_weights

SHIPPED = 'tiny-sd'
_PART = 'autoencoder.'


def shipped_autoencoder() -> dict[str, torch.Tensor]:
    """Return the weights of tiny-sd's autoencoder by their names in a backbone."""
    autoencoder = LatentAutoencoder(SHIPPED)
    load_weights(SHIPPED, vae=autoencoder.vae)
    return {_PART + name: weight for name, weight in autoencoder.state_dict().items()}


def is_shipped(weights: dict[str, torch.Tensor], shipped: dict[str, torch.Tensor]) -> bool:
    """Check that all weights are among the shipped ones, with equal values."""
    return all(
        name in shipped and torch.equal(weight.to(shipped[name]), shipped[name]) for name, weight in weights.items()
    )


def complete_autoencoder(backbone: BaseModule, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Add the weights of the shipped autoencoder that a checkpoint lacks, if those it holds are the shipped ones.

    ``tools/publish_checkpoint.py`` keeps the biases and norms, which no other autoencoder shares.

    For ``backbone.register_load_state_dict_pre_hook``.

    Args:
        backbone (BaseModule): A :class:`.DiffusionUNet`.
        state_dict (dict[str, Tensor]): The weights of the checkpoint; completed in place.
        prefix (str): Beginning of the names of the backbone's weights.
    """
    if backbone.arch != SHIPPED:
        return
    held = {name.removeprefix(prefix): weight for name, weight in state_dict.items() if name.startswith(prefix + _PART)}
    if not held or len(held) == len(backbone.autoencoder.state_dict()):
        return
    shipped = shipped_autoencoder()
    if is_shipped(held, shipped):
        state_dict.update({prefix + name: weight for name, weight in shipped.items() if name not in held})
