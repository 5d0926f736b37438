"""Low-rank adapters of a U-Net: add, exchange, remove and save them."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn

from mmdiffperc.files import brief, whole_file

from .lora_files import FILE_NAMES, find_lora, read_lora
from .lora_formats import layer_of

ATTENTION_PROJECTIONS = ('to_q', 'to_k', 'to_v', 'to_out.0')
TARGETS = {
    'all': list(ATTENTION_PROJECTIONS),
    'self': rf'.*\.attn1\.({"|".join(ATTENTION_PROJECTIONS)})',
}
DATA_FREE_STARTS = (True, False, 'gaussian')
ADAPTER = 'default'
# Attributes that PEFT and diffusers add to a U-Net with an adapter.
_NOTES = ('peft_config', '_hf_peft_config_loaded')


def add_lora(unet: UNet2DConditionModel, **options):
    """Add a low-rank adapter.

    Args:
        unet (UNet2DConditionModel): The network, changed in place.
        **options: Arguments of ``peft.LoraConfig``. The scaling ``lora_alpha / r`` is 1 by default.

    Raises:
        ValueError: The adapter's initial values depend on the weights of the U-Net, as in DoRA or PiSSA; or the U-Net
            has none of the target layers.
    """
    if options.get('use_dora') or options.get('init_lora_weights', True) not in DATA_FREE_STARTS:
        raise ValueError(
            f'lora={options}: this adapter is computed from the weights of the U-Net, which are loaded later. Remove '
            f'use_dora; init_lora_weights may be one of {DATA_FREE_STARTS}'
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
    """Set the training mode of the adapter's dropout layers only."""
    for name, module in unet.named_modules():
        if name.endswith('.lora_dropout'):
            module.train(mode)


def add_attention_lora(unet: UNet2DConditionModel, attention: str = 'all', **options):
    """Add an adapter to the attention of a U-Net, and freeze the other weights.

    Args:
        unet (UNet2DConditionModel): The network, changed in place; its base weights may be loaded before or later.
        attention (str): ``'all'``, or ``'self'`` for self-attention only. Defaults to ``'all'``.
        **options: Arguments of ``peft.LoraConfig``, such as the rank ``r``.

    Raises:
        ValueError: ``attention`` has another value.
    """
    if attention not in TARGETS:
        raise ValueError(f'attention={attention!r}: expected one of {", ".join(TARGETS)}')
    add_lora(unet, **dict(init_lora_weights='gaussian', target_modules=TARGETS[attention]) | options)


def save_lora(unet: UNet2DConditionModel, folder: str | Path):
    """Write the adapter of a U-Net to ``pytorch_lora_weights.safetensors`` in the current format of diffusers.

    ``StableDiffusionPipeline.load_lora_weights(folder)`` and :func:`load_lora` read the file.

    Raises:
        ValueError: The U-Net has no adapter.
    """
    if ADAPTER not in getattr(unet, 'peft_config', {}):
        raise ValueError('The U-Net has no LoRA to save: build the model with `lora`, or load one first')
    with whole_file(Path(folder) / FILE_NAMES[0]) as partial:
        StableDiffusionLoraLoaderMixin.save_lora_weights(
            partial.parent,
            unet_lora_layers=get_peft_model_state_dict(unet, adapter_name=ADAPTER),
            unet_lora_adapter_metadata=unet.peft_config[ADAPTER].to_dict() | _patterns(unet),
            weight_name=partial.name,
        )


def load_lora(unet: UNet2DConditionModel, path: str | Path):
    """Load an adapter into a U-Net, replacing the present one if there is one; the base weights do not change.

    Rank and layers are read from the file's weights. These formats are supported, as safetensors or pickled:

    - diffusers today, and its attention processors of 2023 (``...attn1.processor.to_q_lora.down.weight``), in which the
      models of DMP were released; also as accelerate writes them;
    - kohya's sd-scripts (``lora_unet_..._to_q.lora_down.weight`` and ``.alpha``);
    - PEFT (``base_model.model....to_q.lora_A.weight``), with its ``adapter_config.json`` beside the file.

    Weights for a text encoder are not used, and a warning reports them. The file may come from a stranger, see
    :func:`.read_lora`. If loading fails, the U-Net does not change. No other thread may use the U-Net during loading.

    Args:
        unet (UNet2DConditionModel): The network with its base weights, changed in place.
        path (str | Path): The file, or a folder that holds one of ``lora_files.FILE_NAMES``.

    Raises:
        FileNotFoundError: The file does not exist.
        RuntimeError: The file is truncated, or holds no weights.
        ValueError: The file holds no adapter for this U-Net, or is damaged.
    """
    arguments, weights, _ = _read(find_lora(path), unet)
    with _adapter_set_aside(unet):
        _load(unet, weights, arguments)


def apply_lora(unet: UNet2DConditionModel, path: str | Path):
    """Load an adapter into the one that a U-Net was built with; without one, fuse it into the weights.

    Args:
        unet (UNet2DConditionModel): The network with its base weights, changed in place. Of a network without some of
            the published layers, the others are adapted.
        path (str | Path): The file or folder, see :func:`load_lora`.

    Raises:
        ValueError: The file holds no adapter for this U-Net, or another one than the U-Net was built with.
    """
    path = find_lora(path)
    arguments, weights, published = _read(path, unet)
    if ADAPTER in getattr(unet, 'peft_config', {}):
        published.add_adapter(LoraConfig(**arguments))
        _compare(path, _settings_of(unet), _settings_of(published))
        set_peft_model_state_dict(unet, weights, ADAPTER)
    else:
        _fuse(unet, weights, arguments)


def merge_lora(unet: UNet2DConditionModel):
    """Merge the adapter of a U-Net into its weights, and remove it. Without an adapter, nothing changes."""
    for layer in _adapted_layers(unet).values():
        layer.merge()
    _remove(unet)


def _read(path: Path, unet) -> tuple[dict, dict[str, torch.Tensor], UNet2DConditionModel]:
    """Read an adapter, without what adapts layers that a backbone has removed; also return the complete U-Net."""
    with torch.device('meta'):
        published = UNet2DConditionModel.from_config(unet.config)
    arguments, weights = read_lora(path, published)
    present = {name.removesuffix('.base_layer') for name, _ in unet.named_modules()}
    targets = [layer for layer in arguments['target_modules'] if layer in present]
    if not targets:
        layers = brief(', '.join(arguments['target_modules']))
        raise ValueError(f'{path} adapts only {layers}, which the backbone has removed, because no feature needs it')
    weights = {name: weight for name, weight in weights.items() if layer_of(name) in present}
    return arguments | dict(target_modules=targets), weights, published


def _settings_of(unet) -> dict[str, tuple[int, float]]:
    """Return the rank and the scaling of each adapted layer."""
    return {name: (layer.r[ADAPTER], layer.scaling[ADAPTER]) for name, layer in _adapted_layers(unet).items()}


def _compare(path: Path, ours: dict, theirs: dict):
    if ours != theirs:
        layer = next(iter(sorted(dict(ours.items() ^ theirs.items()))))
        raise ValueError(
            f'{path} does not hold the adapter that the model was built with: for {layer}, the rank and the scaling '
            f'are {theirs.get(layer, "none")} in the file, and {ours.get(layer, "none")} in the model. Set lora=dict('
            'r=..., lora_alpha=..., target_modules=[...]) as in the file; or leave out lora, so that the file is fused '
            'into the weights'
        )


def _load(unet, weights: dict[str, torch.Tensor], arguments: dict):
    unet.load_lora_adapter(weights, prefix=None, adapter_name=ADAPTER, metadata=arguments)
    for layer in _adapted_layers(unet).values():
        layer.train(layer.get_base_layer().training)
        _move_hooks(layer.get_base_layer(), layer)


def _fuse(unet, weights: dict[str, torch.Tensor], arguments: dict):
    trained = [(weight, weight.requires_grad) for weight in unet.parameters()]
    try:
        _load(unet, weights, arguments)
        merge_lora(unet)
    finally:
        _remove(unet)
        for weight, requires_grad in trained:
            weight.requires_grad_(requires_grad)


def share_weights(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Return a U-Net with the same weights in memory, whose adapter can be exchanged independently."""
    weights = *unet.parameters(), *unet.buffers()
    return copy.deepcopy(unet, {id(weight): weight for weight in weights})


def _adapted_layers(unet) -> dict[str, LoraLayer]:
    return {name: layer for name, layer in unet.named_modules() if isinstance(layer, LoraLayer)}


def _patterns(unet) -> dict[str, dict]:
    """Return PEFT's patterns with the names of layers instead of regular expressions."""
    config, layers = unet.peft_config[ADAPTER], _adapted_layers(unet)
    ranks = {name: layer.r[ADAPTER] for name, layer in layers.items()}
    alphas = {name: layer.lora_alpha[ADAPTER] for name, layer in layers.items()}
    return dict(
        rank_pattern={name: rank for name, rank in ranks.items() if rank != config.r},
        alpha_pattern={name: alpha for name, alpha in alphas.items() if alpha != config.lora_alpha},
    )


@contextmanager
def _adapter_set_aside(unet) -> Iterator[None]:
    """Remove the adapter; if the body of the context fails, put the same layers back."""
    layers = _adapted_layers(unet)
    notes = {name: vars(unet)[name] for name in _NOTES if name in vars(unet)}
    trained = [(weight, weight.requires_grad) for weight in unet.parameters()]
    try:
        _remove(unet)
        yield
    except BaseException:  # an interruption by the user, too
        _remove(unet)
        for name, layer in layers.items():
            _move_hooks(layer.get_base_layer(), layer)
            unet.set_submodule(name, layer)
        vars(unet).update(notes)
        for weight, requires_grad in trained:
            weight.requires_grad_(requires_grad)
        raise


def _remove(unet):
    for name, layer in _adapted_layers(unet).items():
        _move_hooks(layer, layer.get_base_layer())
        unet.set_submodule(name, layer.get_base_layer())
    for name in _NOTES:
        vars(unet).pop(name, None)


def _move_hooks(source: nn.Module, target: nn.Module):
    """Move the hooks of a layer, such as those of taps, to the layer that takes its place."""
    for hooks in ('_forward_hooks', '_forward_pre_hooks'):
        getattr(target, hooks).update(getattr(source, hooks))
        getattr(source, hooks).clear()
