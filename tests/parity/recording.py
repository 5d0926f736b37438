"""Recordings of one case, of which only every n-th entry is stored."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from .agreement import assert_agrees
from .detweights import make_state_dict
from .official import read_manifest

SMALLEST = 1e-4  # of the largest gradient of a run: smaller ones are compared less strictly, or not at all


class Recording:
    """A folder with ``meta.json`` and ``outputs.npz``.

    Args:
        name (str): Name of the folder.
    """

    def __init__(self, name: str):
        self.folder = Path(__file__).parent / name
        self.outputs = np.load(self.folder / 'outputs.npz')
        meta = json.loads((self.folder / 'meta.json').read_text())
        self.values = meta['values']
        self.strides = {name: output['stride'] for name, output in meta['outputs'].items()}

    def weights(self, manifest: str = 'manifest.json.gz') -> dict[str, torch.Tensor]:
        """Make the official weights."""
        return make_state_dict(read_manifest(self.folder / manifest))

    def assert_agrees(self, actual: torch.Tensor, name: str, **tolerance):
        """Compare a result with the recorded one."""
        recorded = self.outputs[name]
        strides = self.strides.get(name, [1] * recorded.ndim)
        assert_agrees(torch.as_tensor(actual).detach(), recorded, name, strides=strides, **tolerance)

    def assert_gradients_agree(self, run: str, named: dict[str, torch.Tensor]):
        """Compare the norms of gradients, by official names, and which parameters have none."""
        recorded = json.loads(gzip.decompress((self.folder / 'grads.json.gz').read_bytes()))[run]
        largest = max(norm for norm, *_ in recorded['grad'].values())
        for key, (norm, *_) in recorded['grad'].items():
            assert named[key].grad is not None, key
            if norm >= SMALLEST * largest:
                assert named[key].grad.norm().item() == pytest.approx(norm, rel=0.01), key
        for key in recorded['no_grad']:
            assert key not in named or named[key].grad is None, key


def theirs_by_ours(layout, names) -> dict[str, str]:
    """The official names of weights outside the U-Net and the autoencoder, by our names."""

    def find(name):
        return next(
            (theirs + name.removeprefix(ours) for ours, theirs in layout.renamed.items() if name.startswith(ours))
        )

    return {name: find(name) for name in names}
