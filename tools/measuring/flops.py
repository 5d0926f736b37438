"""Parameters and multiply-adds of the parts of a model, for ``benchmark.py``."""

import torch

from mmdiffperc.models.complexity import count_parts

from .speed import build_model, options_of, read_config, without_maps


def benchmark(args) -> dict:
    """Count parameters and multiply-adds of a model without weights, and return them together with the settings."""
    cfg = read_config(args)
    with torch.device('meta'):
        model = build_model(cfg).eval()
        images = torch.rand(args.batch_size, 3, *args.size)
        counts = count_parts(model, without_maps(model.backbone, cfg.model.backbone), images)
    return dict(options_of(args), results={name: complexity._asdict() for name, complexity in counts.items()})


def table(results: dict[str, dict]) -> str:
    """Format counts as a table."""
    lines = [f'{"":32}{"parameters (M)":>18}{"multiply-adds (G)":>20}']
    for name, result in results.items():
        lines.append(f'{name:32}{result["parameters"] / 1e6:>18.3f}{result["multiply_adds"] / 1e9:>20.3f}')
    return '\n'.join(lines)
