"""Checkpoints as the official code lays them out, with synthetic weights."""

import gzip
import json

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmdiffperc.weights.official_checkpoints import convert, recognise


def read_manifest(path):
    """Name, shape and type of every weight at full width."""
    return json.loads(gzip.decompress(path.read_bytes()))


def assert_fits(manifest, config):
    """Every weight of the config's model comes from the checkpoint, in its shape; at full width without the memory."""
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        model = MODELS.build(config.model)
        weights = {key: torch.empty(shape) for key, shape, _ in manifest}
        layout = recognise(weights)
        converted = convert(weights, layout, model)
    absent = (layout.absent,) if layout.absent else ()
    assert set(converted) == {name for name in model.state_dict() if not name.startswith(absent)}


def official_names(model, manifest):
    """Ours by the official names: weights that hold their number in the manifest are sent through the converter."""
    numbered = {key: torch.tensor(float(i)).expand(shape) for i, (key, shape, _) in enumerate(manifest)}
    converted = convert(numbered, recognise(numbered), model)
    return {manifest[int(weight.flatten()[0])][0]: name for name, weight in converted.items()}


def assert_norms_agree(model, manifest, recorded):
    """Gradients of the same weights, whose norms differ by 2 % at most: some of the official ReLUs flip by rounding."""
    names = official_names(model, manifest)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert {names[key] for key in recorded['grads'] if key in names} == set(trained)
    assert not {names[key] for key in recorded['no_grad'] if key in names} & set(trained)
    largest = max(norm for norm, *_ in recorded['grads'].values())
    for key, (norm, *_) in recorded['grads'].items():
        if key in names and norm > 1e-6 * largest:  # below, it is rounding errors about zero
            assert trained[names[key]].grad.norm().item() == pytest.approx(norm, rel=0.02), key
