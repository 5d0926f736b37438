"""Peak memory of the tensors in a forward pass, for ``benchmark.py``."""

import torch
from mmengine.config import Config
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from mmdiffperc.half_precision import halve

from .peak import peak_memory
from .speed import (
    MIB,
    autocast,
    build_model,
    check_host,
    inference_subjects,
    options_of,
    read_config,
    run_halved,
)


def benchmark(args) -> dict:
    """Count the memory of the subjects of a measurement with fake tensors; return it together with the settings."""
    cfg = read_config(args)
    check_host(cfg, args)
    peaks = {}
    with FakeTensorMode(), torch.no_grad():
        images = torch.rand(args.batch_size, 3, *args.size) * 2 - 1
        model = build_fake(cfg)
        peaks['weights'] = size_of(model)
        with autocast(args):
            for name, run in inference_subjects(model, cfg.model.backbone, images, args.test_mode).items():
                peaks[name] = peak_memory(run)
        if args.weights_dtype:
            model = build_fake(cfg, args.weights_dtype)
            peaks[f'weights in {args.weights_dtype}'] = size_of(model)
            peaks[f'model in {args.weights_dtype}'] = peak_memory(lambda: run_halved(model, images, args))
    return dict(options_of(args), results={name: dict(peak_memory_mib=size / MIB) for name, size in peaks.items()})


def build_fake(cfg: Config, half: str | None = None) -> nn.Module:
    """Build the model of a config with fake tensors, in the mode that is active."""
    with unset_fake_temporarily(), torch.device('meta'):
        model = build_model(cfg).eval().requires_grad_(False)
        if half:
            halve(model, half)
    for module in model.modules():  # to_empty would exchange the tensors in place, which fake ones do not support
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(_empty(weight), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = _empty(buffer)
    return model


def _empty(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device='cpu')


def size_of(model: nn.Module) -> int:
    """Return the size of the weights in bytes."""
    return sum(weight.nbytes for weight in model.state_dict().values())


def table(results: dict[str, dict]) -> str:
    """Format the results as a table."""
    lines = [f'{"":32}{"peak memory (MiB)":>20}']
    return '\n'.join([*lines, *(f'{name:32}{result["peak_memory_mib"]:>20.0f}' for name, result in results.items())])
