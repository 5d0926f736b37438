"""Complete checkpoints with tiny-sd that omit its frozen autoencoder, which ships with the package."""

import torch
from mmengine.model import BaseModule

from .architectures import build_vae
from .loading import load_weights

SHIPPED = 'tiny-sd'
_PART = 'autoencoder.'


def shipped_autoencoder() -> dict[str, torch.Tensor]:
    """Return the weights of tiny-sd's autoencoder by their names in a backbone."""
    vae = build_vae(SHIPPED)
    vae.decoder = vae.post_quant_conv = None  # a backbone has neither
    load_weights(SHIPPED, vae=vae)
    return {f'{_PART}vae.{name}': weight for name, weight in vae.state_dict().items()}


def is_shipped(weights: dict[str, torch.Tensor], shipped: dict[str, torch.Tensor]) -> bool:
    """Return whether all weights are among the shipped ones, with equal values."""
    return all(
        name in shipped and torch.equal(weight.to(shipped[name]), shipped[name]) for name, weight in weights.items()
    )


def complete_autoencoder(backbone: BaseModule, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Add the weights of the shipped autoencoder that a checkpoint lacks, if those it holds are the shipped ones.

    For ``backbone.register_load_state_dict_pre_hook``. ``tools/publish_checkpoint.py`` keeps the biases and norms,
    which differ in every other autoencoder.

    Args:
        backbone (BaseModule): A :class:`.DiffusionUNet`.
        state_dict (dict[str, Tensor]): The weights of the checkpoint; completed in place.
        prefix (str): Prefix of the names of the backbone's weights.
    """
    if backbone.arch != SHIPPED:
        return
    needed = {_PART + name for name in backbone.autoencoder.state_dict()}
    held = {name: state_dict[prefix + name] for name in needed if prefix + name in state_dict}
    if not held or len(held) == len(needed):
        return
    shipped = shipped_autoencoder()
    if is_shipped(held, shipped):
        state_dict.update({prefix + name: shipped[name] for name in needed - held.keys()})
