"""Read files of low-rank adapters, which may come from strangers: layers and ranks are read from the weights alone."""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, get_type_hints

import torch
from mmengine.logging import MMLogger
from pydantic import Field
from safetensors import safe_open
from torch import Tensor, nn

from mmdiffperc.files import brief, read_json
from mmdiffperc.validation import Validator

from .compvis import unet_key_map
from .lora_formats import (
    ALPHA,
    COMPVIS,
    DOWN,
    PEFT,
    UNET,
    UP,
    adapts_text_encoder,
    advise,
    format_name,
    layer_of,
    peft_names,
)
from .weight_file import Assignment, Shapes, WeightFile

# Written by diffusers (the first two), accelerate (with the same content) and PEFT.
FILE_NAMES = (
    'pytorch_lora_weights.safetensors',
    'pytorch_lora_weights.bin',
    'pytorch_model.bin',
    'adapter_model.safetensors',
    'adapter_model.bin',
)
PEFT_SETTINGS = 'adapter_config.json'
MAX_SCALING = 1000  # adapters are published with scalings below 100, rank-stabilized ones included
LARGEST_WEIGHT = 65504  # the largest number in half precision
_METADATA = 'lora_adapter_metadata'
_MAX_METADATA = 2**20  # characters; an SDXL adapter that lists every layer has 200,000
_MAX_SHOWN = 3
# Settings of PEFT that change the meaning of the weights.
_VARIANTS = (
    'use_dora',
    'use_qalora',
    'use_bdlora',
    'lora_bias',
    'alora_invocation_tokens',
    'arrow_config',
    'layer_replication',
    'modules_to_save',
)
_STARTS_THAT_CHANGE_THE_BASE = ('pissa', 'olora', 'corda', 'loftq', 'lora_ga')


class LoraSettings(NamedTuple):
    """The settings that are read from a file, because the weights do not reveal them.

    Attributes:
        r (int | None): Declared rank of the layers that are not in ``rank_pattern``.
        lora_alpha (float | None): Scaling times rank of the layers that are not in ``alpha_pattern``.
        rank_pattern (dict): Position and declared rank by the ending of a layer's name; in the file, rank only.
        alpha_pattern (dict): Position, and scaling times rank, likewise.
        use_rslora (bool): Divide ``lora_alpha`` by the root of the rank instead of the rank.
        lora_dropout (float): Dropout in training.
    """

    r: int | None = None
    lora_alpha: float | None = None
    rank_pattern: dict = {}
    alpha_pattern: dict = {}
    use_rslora: bool = False
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


def find_lora(path: str | Path) -> Path:
    """Return the file of an adapter: the path itself, or the first of ``FILE_NAMES`` in a folder."""
    path = Path(path).expanduser()
    if not path.is_dir():
        return path
    for name in FILE_NAMES:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(
        f'No LoRA in the folder {str(path)!r}: expected {", ".join(FILE_NAMES)}. If it has another name, give the file '
        'instead of the folder'
    )


def read_lora(path: Path, unet: nn.Module) -> tuple[dict, dict[str, Tensor]]:
    """Read an adapter for a U-Net.

    The shapes are checked before memory is allocated. The arguments name layers as the U-Net does: a pattern in a file
    is never used as a regular expression.

    Args:
        path (Path): The file.
        unet (nn.Module): The network, with or without another adapter.

    Returns:
        tuple: The arguments of ``peft.LoraConfig``, and the weights by PEFT's names.
    """
    file, layers = WeightFile(path), _layers_of(unet)
    others = [key for key in file.shapes if adapts_text_encoder(key)]
    keys = [key for key in file.shapes if not adapts_text_encoder(key)]
    keys = peft_names(keys, _names_of(layers, keys, unet))
    alphas = {name.removesuffix(ALPHA): keys.pop(name) for name in list(keys) if name.endswith(ALPHA)}
    _refuse_misfits(file, keys, alphas, layers)
    ranks = {name.removesuffix(DOWN): file.shapes[key][0] for name, key in keys.items() if name.endswith(DOWN)}
    settings = _read_settings(path, _read_entries(file))
    _check_ranks(path, ranks, settings)
    stored = {layer: alpha.item() for layer, alpha in _read(file, alphas).items()}
    arguments = _arguments(path, ranks, settings, stored)
    weights = _read(file, keys)
    _check_range(path, weights)
    if others:
        logger = MMLogger.get_current_instance()
        logger.warning(f'{path}: {len(others)} weights adapt the text encoder and are not used')
    return arguments, weights


def _layers_of(unet: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that can be adapted, by their names without an adapter."""
    return {
        name.removesuffix('.base_layer'): module
        for name, module in unet.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and '.lora_' not in name
    }


def _names_of(layers: Iterable[str], keys: Iterable[str], unet: nn.Module) -> dict[str, str]:
    """Return the layers by their names in a file, which may have the names of the original code."""
    names = {layer: layer for layer in layers}
    if any(COMPVIS.match(str(key)) for key in keys):
        originals = unet_key_map(unet.config).items()
        names |= {original.removesuffix('.weight'): weight.removesuffix('.weight') for weight, original in originals}
    return names


def _refuse_misfits(file: WeightFile, keys: dict[str, str], alphas: dict[str, str], layers: dict[str, nn.Module]):
    shapes = {name: file.shapes[key] for name, key in keys.items()}
    misfits = [misfit for name in shapes if (misfit := _misfit(name, shapes, layers))]
    misfits += [
        f'{brief(key, 200)}: expected one number for a layer that is adapted'
        for layer, key in alphas.items()
        if layer + DOWN not in shapes or math.prod(file.shapes[key]) != 1
    ]
    if len(keys) + len(alphas) < sum(not adapts_text_encoder(key) for key in file.shapes):
        misfits.append('two names for the same weight')
    if misfits or not shapes:
        shown = '\n    '.join(misfits[:_MAX_SHOWN] or ['no weights for a U-Net' if file.shapes else 'it is empty'])
        is_for_sdxl = 'add_embedding.linear_1' in layers
        has_known_layers = any(layer_of(name) in layers for name in shapes)
        name = f'{file.path} (in the format of {program})' if (program := format_name(file.shapes)) else file.path
        raise ValueError(
            f'{name} holds no LoRA for this U-Net; nothing was changed. Of its {len(file.shapes)} '
            f'weights, {len(misfits)} do not fit:\n    {shown}\n{advise(file.shapes, has_known_layers, is_for_sdxl)}'
        )


def _misfit(name: str, shapes: Shapes, layers: dict[str, nn.Module]) -> str | None:
    """Describe what is wrong with a weight: ``A`` must be as wide as the layer's input, ``B`` as high as its output."""
    shown, shape = brief(name, 200), shapes[name]
    layer = layer_of(name)
    if layer == name or layer not in layers:
        return f'{shown}: no such layer in the U-Net'
    base = tuple(layers[layer].weight.shape)
    axis, other = (0, UP) if name.endswith(DOWN) else (1, DOWN)
    rank = shape[axis] if len(shape) == len(base) else None
    if shape != ((rank, *base[1:]) if axis == 0 else (base[0], rank, *[1] * len(base[2:]))):
        return f"{shown}: {shape} does not fit the layer's {base}"
    if len(partner := shapes.get(layer + other, ())) != len(base) or partner[1 - axis] != rank:
        return f'{shown}: {shape} needs {layer}{other} of the same rank'
    if not 1 <= rank <= max(base[:2]):
        return f"{shown}: {shape}: expected a rank from 1 to the layer's width of {max(base[:2])}"
    return None


def _read_settings(path: Path, entries: dict) -> LoraSettings:
    """Check the settings in a file's metadata, which may be damaged or belong to another kind of adapter."""
    if variants := [name for name in _VARIANTS if entries.get(name)]:
        raise ValueError(
            f'{path}: its metadata sets {", ".join(variants)}, which is not supported; expected a plain LoRA'
        )
    if str(start := entries.get('init_lora_weights')).lower().startswith(_STARTS_THAT_CHANGE_THE_BASE):
        raise ValueError(
            f'{path}: its metadata says init_lora_weights={brief(start)}, which changed the base as well; '
            'expected a plain LoRA. Convert it with PEFT: '
            'save_pretrained(folder, path_initial_model_for_weight_conversion=...)'
        )
    hints = get_type_hints(LoraSettings, include_extras=True)
    given = {name: entries[name] for name in hints if entries.get(name) is not None}
    for name, value in given.items():
        Validator(hints[name]).check(f'{path}: metadata.{name}', value)
    patterns = {name: _read_pattern(path, name, given[name]) for name in given if name.endswith('_pattern')}
    return LoraSettings(**given | patterns)


def _read_entries(file: WeightFile) -> dict:
    """Read the settings of an adapter from the file, or from the file that PEFT writes beside it."""
    if not any(PEFT in str(key) for key in file.shapes):
        return _read_metadata(file.path)
    settings = file.path.with_name(PEFT_SETTINGS)
    if not settings.is_file():
        raise ValueError(
            f'{file.path} is in the format of PEFT, which keeps the scaling in {settings.name}: expected that file '
            'beside it'
        )
    if (size := settings.stat().st_size) > _MAX_METADATA:
        raise ValueError(f'{settings} has {size} bytes; expected at most {_MAX_METADATA}')
    return read_json(settings)


def _read_metadata(path: Path) -> dict:
    if path.suffix != '.safetensors':
        return {}
    with safe_open(path, framework='pt') as file:
        text = (file.metadata() or {}).get(_METADATA, '{}')
    if len(text) > _MAX_METADATA:
        raise ValueError(f'{path}: its metadata has {len(text)} characters; expected at most {_MAX_METADATA}')
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: its metadata entry {_METADATA!r} cannot be read as JSON ({error})') from error
    if not isinstance(entries, dict):
        raise ValueError(f'{path}: its metadata entry {_METADATA!r} is {brief(entries)}; expected an object')
    return {key.removeprefix(UNET): value for key, value in entries.items()}


def _read_pattern(path: Path, field: str, pattern: dict) -> dict[str, tuple[int, float]]:
    """Return the position and value of each entry, whose key must be the literal ending of a layer's name."""
    entries = {}
    for position, (key, value) in enumerate(pattern.items()):
        name = key.removeprefix('^').replace(r'\.', '.')
        if not re.fullmatch(r'[\w.]+', name) or type(value) not in (int, float):
            raise ValueError(
                f'{path}: {field} in its metadata has the entry {brief(key)}: {brief(value)}; expected the name of a '
                'layer and a number. Regular expressions are not taken from files: write out the names of the layers'
            )
        entries.setdefault(name, (position, value))
    return entries


def _look_up(pattern: Mapping[str, tuple[int, float]], layer: str, default):
    """Return the value of the first entry that the layer's name ends with, as PEFT does."""
    parts = layer.split('.')
    endings = ('.'.join(parts[start:]) for start in range(len(parts)))
    return min((pattern[ending] for ending in endings if ending in pattern), default=(0, default))[1]


def _check_ranks(path: Path, ranks: dict[str, int], settings: LoraSettings):
    for layer, rank in ranks.items():
        declared = _look_up(settings.rank_pattern, layer, settings.r)
        if declared not in (None, rank):
            raise ValueError(
                f'{path}: its metadata declares the rank {brief(declared)} for {layer}, whose weights have the rank '
                f'{rank}; get the file again'
            )


def _arguments(path: Path, ranks: dict[str, int], settings: LoraSettings, stored: dict[str, float]) -> dict:
    """Return the arguments of ``peft.LoraConfig``, with the layers' names in the U-Net."""
    alphas = {layer: stored.get(layer, _look_up(settings.alpha_pattern, layer, settings.lora_alpha)) for layer in ranks}
    # Files without settings date from 2023, when the scaling was 1.
    alphas = {layer: ranks[layer] if alpha is None else alpha for layer, alpha in alphas.items()}
    for layer, alpha in alphas.items():
        _check_scaling(path, layer, alpha, ranks[layer], settings.use_rslora)
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return dict(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(ranks),
        rank_pattern=_others(ranks, rank),
        alpha_pattern=_others(alphas, alpha),
        use_rslora=settings.use_rslora,
        lora_dropout=settings.lora_dropout,
        init_lora_weights=False,
    )


def _check_scaling(path: Path, layer: str, alpha: float, rank: int, use_rslora: bool):
    limit = MAX_SCALING * (math.sqrt(rank) if use_rslora else rank)
    if not 0 < abs(alpha) <= limit:  # never true of NaN
        raise ValueError(
            f'{path}: lora_alpha of {layer} is {brief(alpha)}; expected a number other than 0 and at most {limit:g}, '
            f'which is a scaling of {MAX_SCALING}'
        )


def _others(values: dict[str, float], usual: float) -> dict[str, float]:
    """Return PEFT's pattern for the layers with unusual values: for each value, the layers as alternatives."""
    layers = defaultdict(list)
    for layer, value in values.items():
        if value != usual:
            layers[value].append(re.escape(layer))
    return {'|'.join(names): value for value, names in layers.items()}


def _read(file: WeightFile, keys: dict[str, str]) -> dict[str, Tensor]:
    weights = {name: torch.empty(file.shapes[key]) for name, key in keys.items()}
    file.fill(Assignment(weights[name], key) for name, key in keys.items())
    return weights


def _check_range(path: Path, weights: dict[str, Tensor]):
    for name, weight in weights.items():
        if not (weight.abs() <= LARGEST_WEIGHT).all():  # never true of NaN
            raise ValueError(
                f'{path}: {name} holds NaN, infinity, or a number that half precision cannot represent; get the file '
                'again, or take an earlier one'
            )
