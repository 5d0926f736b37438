"""Heads that a checkpoint must not leave at random values."""

import torch
from mmengine.model import BaseModule


def refuse_random(head: BaseModule, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Before a checkpoint is loaded: it must hold all of the head, if nothing has initialised the head yet.

    So it is where a model is tested or applied; mmengine logs what a checkpoint lacks, and the predictions are noise.
    Training initialises first: its ``load_from`` may hold a backbone only, or another head.

    Raises:
        RuntimeError: Weights are missing, or of another shape.
    """
    if head.is_init:
        return
    shapes = {prefix + name: weight.shape for name, weight in head.state_dict().items()}
    random = [name for name, shape in shapes.items() if name not in state_dict or state_dict[name].shape != shape]
    if random:
        raise RuntimeError(
            f'The checkpoint lacks {len(random)} of the {len(shapes)} weights of {type(head).__name__}, or has them in '
            f'another shape, first {", ".join(random[:3])}: they would stay random. Is it of a model with this config?'
        )
