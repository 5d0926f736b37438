"""Plan which tensor of which file fills which weight of a module."""

import re
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from .compvis import PREFIXES, ema_key, open_clip_key, unet_key_map, vae_key_map
from .sources import Source
from .weight_file import Assignment, WeightFile

Plan = dict[WeightFile, list[Assignment]]
KeysOf = Callable[[str], list[str]]  # name of a weight in a module -> its possible names in a file

_OLD_VAE_ATTENTION = {'to_q': 'query', 'to_k': 'key', 'to_v': 'value', 'to_out.0': 'proj_attn'}
_QKV = {'q_proj': 0, 'k_proj': 1, 'v_proj': 2}
_MAX_SHOWN = 5
# A first convolution with the right width that takes another number of channels.
_OTHER_INPUTS = re.compile(r'conv_in\.weight: \((\d+), (\d+), .+ expected, \(\1, (?!\2,)')


def plan_filling(source: Source, modules: Mapping[str, nn.Module], use_ema: bool = False) -> Plan:
    """Find the tensor for every weight of every module; :meth:`.WeightFile.fill` then copies them.

    Args:
        source (Source): The located checkpoint.
        modules (Mapping[str, nn.Module]): The modules to fill, by part: ``unet``, ``vae``, ``text_encoder``.
        use_ema (bool): Take the moving average of the U-Net from a single file. Defaults to False.

    Raises:
        ValueError: The files lack a weight, or have it in another shape; the message gives the likely cause.
    """
    plan, opened = {}, {path: WeightFile(path) for part in modules for path in source.files[part]}
    for part, module in modules.items():
        files = [opened[path] for path in source.files[part]]
        keys_of = _DIFFUSERS_NAMES[part] if source.is_folder else _compvis_names(part, module, files[0], use_ema)
        _assign(plan, part, module, files, keys_of)
    return plan


def _assign(plan: Plan, part: str, module: nn.Module, files: list[WeightFile], keys_of: KeysOf) -> None:
    where = {key: file for file in files for key in file.shapes}
    missing, misfits = [], []
    for name, target in _base_weights(module):
        keys = keys_of(name)
        key = next((key for key in keys if key in where), None)
        if key is None:
            missing.append(f'{name} (looked for {keys[0]})')
            continue
        third = _QKV[name.split('.')[-2]] if '.in_proj_' in key else None
        shape = where[key].shapes[key]
        if _fits(shape, target, third, part):
            plan.setdefault(where[key], []).append(Assignment(target, key, third))
        else:
            misfits.append(f'{name}: {tuple(target.shape)} expected, {shape} in the file (as {key})')
    if missing or misfits:
        raise ValueError(_describe(part, files, missing, misfits))


def _base_weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights without the adapter, by the names that they have in checkpoints of the base model."""
    for name, weight in module.state_dict().items():
        if '.lora_' not in name:
            yield name.replace('.base_layer.', '.'), weight


def _fits(shape: tuple[int, ...], target: Tensor, third: int | None, part: str) -> bool:
    if third is not None:
        shape = (shape[0] / 3, *shape[1:])
    if part == 'vae' and target.dim() == 2:  # attention: 1x1 convolutions in CompVis files, linear layers today
        pointwise = (1,) * (len(shape) - 2)
        return shape == (*target.shape, *pointwise)
    return shape == tuple(target.shape)


def _vae_names(name: str) -> list[str]:
    """Return the current and the former name in diffusers, which differ in an autoencoder's attention."""
    old = name
    for new_part, old_part in _OLD_VAE_ATTENTION.items():
        old = old.replace(f'.{new_part}.', f'.{old_part}.')
    return [name, old]


def _text_names(name: str) -> list[str]:
    """Return the former name in transformers, which has one more level, and the current one."""
    name = name.removeprefix('text_model.')
    return [f'text_model.{name}', name]


_DIFFUSERS_NAMES = {'unet': lambda name: [name], 'vae': _vae_names, 'text_encoder': _text_names}


def _compvis_names(part: str, module: nn.Module, file: WeightFile, use_ema: bool) -> KeysOf:
    if part == 'text_encoder':
        return _compvis_text_names(file)
    key_map = unet_key_map(module.config) if part == 'unet' else vae_key_map(module.config)
    prefix = PREFIXES[part]
    if part == 'unet' and use_ema:
        return lambda name: [ema_key(prefix + key_map[name])]
    return lambda name: [prefix + key_map[name]]


def _compvis_text_names(file: WeightFile) -> KeysOf:
    if any(key.startswith(PREFIXES['open_clip']) for key in file.shapes):
        return lambda name: [PREFIXES['open_clip'] + open_clip_key(name.removeprefix('text_model.'))]
    parent = PREFIXES['clip'].removesuffix('text_model.')
    return lambda name: [parent + key for key in _text_names(name)]


def _describe(part: str, files: list[WeightFile], missing: list[str], misfits: list[str]) -> str:
    paths = ', '.join(str(file.path) for file in files)
    lines = [f'The weights in {paths} do not fit the {part}; nothing was loaded.']
    for title, entries in (('missing', missing), ('with another shape', misfits)):
        if entries:
            shown = entries[:_MAX_SHOWN] + ['...'] * (len(entries) > _MAX_SHOWN)
            lines.append(f'{len(entries)} {title}:\n    ' + '\n    '.join(shown))
    return '\n'.join([*lines, _likely_cause(part, [key for file in files for key in file.shapes], misfits)])


def _likely_cause(part: str, keys: list[str], misfits: list[str]) -> str:
    if any('lora' in key.lower() for key in keys):
        return (
            'This is a LoRA file: it changes weights and does not contain them. Give its base model as checkpoint, and '
            'load the file into the U-Net with mmdiffperc.weights.lora.load_lora.'
        )
    if any(key.startswith(('backbone.', 'module.backbone.')) for key in keys):
        return 'This is the checkpoint of a whole model: give it to `mim test` or as `load_from`.'
    if any(map(_OTHER_INPUTS.match, misfits)):
        return (
            'The U-Net in the file takes more than the latents, as inpainting and image-editing models do: take the '
            'text-to-image model that it was derived from.'
        )
    if misfits:
        return (
            'These are weights of another architecture (cross-attention width 768: SD 1.x, 1024: SD 2.x, 2048: SDXL): '
            'choose the `arch` that belongs to the checkpoint.'
        )
    return (
        f'The checkpoint is incomplete, has no {part}, belongs to another architecture, or is one file of a diffusers '
        'folder (then give the folder that holds unet/, vae/ and text_encoder/).'
    )
