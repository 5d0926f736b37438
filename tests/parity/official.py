"""Checkpoints as the official code lays them out, with synthetic weights."""

import gzip
import json

import torch
from mmengine.registry import MODELS, init_default_scope

from mmdiffperc.models.official_checkpoints import convert, recognise


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
