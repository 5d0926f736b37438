"""Low-rank adapters of a U-Net, and their files: those of diffusers today, and those of 2023."""

import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils import convert_unet_state_dict_to_peft
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open

from mmdiffperc.files import brief

from .weight_files import Assignment, WeightFile

ATTENTION_PROJECTIONS = ('to_q', 'to_k', 'to_v', 'to_out.0')
TARGETS = {
    'all': list(ATTENTION_PROJECTIONS),
    'self': rf'.*\.attn1\.({"|".join(ATTENTION_PROJECTIONS)})',
}
DATA_FREE_STARTS = (True, False, 'gaussian')
ADAPTER = 'default'
UNET = 'unet.'
# The names that diffusers gives them, then that of accelerate, which holds the same.
FILE_NAMES = ('pytorch_lora_weights.safetensors', 'pytorch_lora_weights.bin', 'pytorch_model.bin')
_DOWN, _UP = '.lora_A.weight', '.lora_B.weight'
_METADATA = 'lora_adapter_metadata'
_MAX_SHOWN = 3


def add_lora(unet: UNet2DConditionModel, **options):
    """Add a low-rank adapter: arguments of ``peft.LoraConfig``, whose scaling ``lora_alpha / r`` is 1 if not given.

    Raises:
        ValueError: Its start is computed from the weights of the U-Net, as that of DoRA or PiSSA is; no layer of the
            U-Net is among its targets, or not one of a kind that can be adapted.
    """
    if options.get('use_dora') or options.get('init_lora_weights', True) not in DATA_FREE_STARTS:
        raise ValueError(
            f'lora={options}: such an adapter is computed from the weights of the U-Net, which are loaded later. Leave '
            f'use_dora out; init_lora_weights may be one of {DATA_FREE_STARTS}'
        )
    defaults = dict(target_modules=TARGETS['all'], lora_alpha=options.get('r', LoraConfig.r))
    config = LoraConfig(**{**defaults, **options})
    try:
        unet.add_adapter(config)
    except ValueError as error:
        raise ValueError(
            f'lora.target_modules={brief(config.target_modules)}: expected layers of the U-Net, such as '
            f'{TARGETS["all"]} ({error})'
        ) from error


def train_dropout(unet: UNet2DConditionModel, mode: bool):
    """Set the training mode of the adapter's dropout alone."""
    for name, module in unet.named_modules():
        if name.endswith('.lora_dropout'):
            module.train(mode)


def add_attention_lora(unet: UNet2DConditionModel, attention: str = 'all', **options):
    """Add an adapter to the attention of a U-Net, which freezes all else.

    Args:
        unet (UNet2DConditionModel): With its base weights, or to be filled with them later.
        attention (str): ``'all'``, or ``'self'`` for self-attention only. Defaults to ``'all'``.
        **options: Arguments of ``peft.LoraConfig``, such as the rank ``r``.

    Raises:
        ValueError: ``attention`` is another.
    """
    if attention not in TARGETS:
        raise ValueError(f'attention={attention!r}: expected one of {", ".join(TARGETS)}')
    add_lora(unet, **dict(init_lora_weights='gaussian', target_modules=TARGETS[attention]) | options)


def save_lora(unet: UNet2DConditionModel, folder: str | Path):
    """Write the adapter of a U-Net as ``pytorch_lora_weights.safetensors``, as diffusers does today.

    ``StableDiffusionPipeline.load_lora_weights(folder)`` and :func:`load_lora` read it.

    Raises:
        ValueError: The U-Net has no adapter.
    """
    if ADAPTER not in getattr(unet, 'peft_config', {}):
        raise ValueError('The U-Net has no LoRA to save: build the model with `lora`, or load one first')
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet, adapter_name=ADAPTER),
        unet_lora_adapter_metadata=unet.peft_config[ADAPTER].to_dict(),
    )


def load_lora(unet: UNet2DConditionModel, path: str | Path):
    """Give a U-Net the adapter of a file, in place of the one it may have; the base weights stay.

    Rank and layers (all attention, or self-attention only) are those of the file. Read are files of diffusers today
    and of its attention processors of 2023 (``...attn1.processor.to_q_lora.down.weight``), in which the released models
    of DMP are, also as written by accelerate. If the file does not fit, nothing is changed.

    Args:
        unet (UNet2DConditionModel): With its base weights.
        path (str | Path): The file, or a folder that holds one of ``FILE_NAMES``.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: The file is truncated, or no weights file.
        ValueError: It holds no adapter, or that of another U-Net.
    """
    path = find_lora(path)
    weights, metadata = _read(path)
    _refuse_misfits(unet, weights, path)
    if existing := list(getattr(unet, 'peft_config', {})):
        unet.delete_adapters(existing)
    unet.load_lora_adapter(weights, prefix=None, adapter_name=ADAPTER, metadata=metadata)


def find_lora(path: str | Path) -> Path:
    """The adapter's file: the path itself, or the first of ``FILE_NAMES`` in a folder.

    Raises:
        FileNotFoundError: There is none.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        return path
    for name in FILE_NAMES:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(f'No LoRA in the folder {str(path)!r}: expected {", ".join(FILE_NAMES)}')


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict | None]:
    """Weights and settings by the names that PEFT has for them."""
    file = WeightFile(path)
    weights = {key: torch.empty(shape) for key, shape in file.shapes.items()}
    file.fill(Assignment(weight, key) for key, weight in weights.items())
    weights = {key.removeprefix(UNET): weight for key, weight in weights.items()}
    if not any(_DOWN in key for key in weights):
        weights = convert_unet_state_dict_to_peft(weights)
    return weights, _read_metadata(path)


def _read_metadata(path: Path) -> dict | None:
    """Settings that today's files carry, of which the scaling cannot be told from the weights."""
    if path.suffix != '.safetensors':
        return None
    with safe_open(path, framework='pt') as file:
        entries = (file.metadata() or {}).get(_METADATA)
    return entries and {key.removeprefix(UNET): value for key, value in json.loads(entries).items()}


def _refuse_misfits(unet: UNet2DConditionModel, weights: dict[str, torch.Tensor], path: Path):
    bases = {name: getattr(module, 'base_layer', module) for name, module in unet.named_modules()}
    misfits = [misfit for key, weight in weights.items() if (misfit := _misfit(key, weights, bases))]
    if misfits or not weights:
        shown = '\n    '.join(misfits[:_MAX_SHOWN] or ['it is empty'])
        raise ValueError(
            f'{path} holds no LoRA for this U-Net; nothing was changed. Of its {len(weights)} weights, {len(misfits)} '
            f'do not fit:\n    {shown}\nLoad it into the base it was trained on (SD 1.4 for the released ones of DMP)'
        )


def _misfit(key, weights, bases) -> str | None:
    """What is wrong with a weight: a layer's input is as wide as its ``A``, its output as high as its ``B``."""
    layer, _, _ = key.partition('.lora_')
    base = getattr(bases.get(layer), 'weight', None)
    if base is None or not key.endswith((_DOWN, _UP)):
        return f'{key}: no such layer in the U-Net'
    axis, other = (1, _UP) if key.endswith(_DOWN) else (0, _DOWN)
    weight, partner = weights[key], weights.get(layer + other)
    if weight.dim() != base.dim() or weight.shape[axis] != base.shape[axis]:
        return f"{key}: {tuple(weight.shape)} does not go with the layer's {tuple(base.shape)}"
    if partner is None or partner.dim() != weight.dim() or partner.shape[axis] != weight.shape[1 - axis]:
        return f'{key}: {tuple(weight.shape)} needs {layer}{other} of the same rank'
    return None
