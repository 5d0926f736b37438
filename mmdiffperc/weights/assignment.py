"""Plan which tensor of which file fills which weight of a module."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from diffusers import AutoencoderKL, ModelMixin
from torch import Tensor, nn

from .architectures import published_names
from .compvis import PREFIXES, ema_key, open_clip_key, unet_key_map, vae_key_map
from .families import describe_family
from .sources import Source
from .weight_file import Assignment, WeightFile

Plan = dict[WeightFile, list[Assignment]]
KeysOf = Callable[[str], list[str]]  # name of a weight in a module -> its possible names in a file

_OLD_VAE_ATTENTION = {'to_q': 'query', 'to_k': 'key', 'to_v': 'value', 'to_out.0': 'proj_attn'}
_QKV = {'q_proj': 0, 'k_proj': 1, 'v_proj': 2}
_MAX_SHOWN = 5
_PART_BY_PART = (
    'Parts may come from several sources: checkpoint=dict(unet=..., vae=..., text_encoder=...), and text_encoder_2 '
    'with SDXL.'
)
# What may be left over in a file: it takes no part in prediction, or belongs to another part of the same file.
_NOT_NEEDED = re.compile(
    r'model_ema\..*|.*\.model_ema\.(decay|num_updates)'  # moving averages
    r'|betas|((sqrt|log)_.*)?alphas_cumprod(_prev)?|posterior_.*|lvlb_weights|logvar|denoiser\.sigmas'  # noise schedule
    r'|scale_factor|global_step'
    r'|.*position_ids|.*logit_scale|.*text_projection(\.weight)?|.*attn_mask'
    r'|.*(vision_model|visual_projection)\..*|(.*\.)?visual\..*'  # the image side of CLIP and OpenCLIP
    r'|v_pred|ztsnr'  # marks of what the network was trained to predict
    r'|.*first_stage_model\.loss\..*|loss\..*'  # the discriminator that an autoencoder was trained with
)


class _Layout(NamedTuple):
    """Names of a part's weights in a file.

    Args:
        mark (str): Pattern of names that only this layout has.
        prefix (str): What the names begin with.
        names (Callable): Module -> function from its names to the possible names in the file, without the prefix.
    """

    mark: str
    prefix: str
    names: Callable[[nn.Module], KeysOf]


def plan_filling(source: Source, modules: Mapping[str, nn.Module], use_ema: bool = False) -> Plan:
    """Find the tensor for every weight of every module; :meth:`.WeightFile.fill` then copies them.

    A tensor that no module takes is an error too, unless it is one of

    - the layers that a backbone removes, such as a decoder or an output layer;
    - the noise schedule, position ids, moving averages, and what only training or the image side of CLIP needs;
    - the last layer of OpenCLIP, which SD 2.x does not use (the second text encoder of SDXL has it);
    - the other parts in a single file.

    Args:
        source (Source): The located checkpoint.
        modules (Mapping[str, nn.Module]): The modules to fill, by part: ``unet``, ``vae``, ``text_encoder``,
            ``text_encoder_2``.
        use_ema (bool): Take the moving average of the U-Net from a single file. Defaults to False.

    Raises:
        ValueError: The files lack a weight, have it in another shape, or hold one that the module does not have; the
            message gives the likely cause.
    """
    plan, opened = {}, {path: WeightFile(path) for part in modules for path in source.files[part]}
    for part, module in modules.items():
        _assign(plan, part, module, [opened[path] for path in source.files[part]], use_ema and part == 'unet')
    return plan


def _assign(plan: Plan, part: str, module: nn.Module, files: list[WeightFile], use_ema: bool) -> None:
    where = {key: file for file in files for key in file.shapes}
    layout = _recognise(part, files, where)
    names_of = layout.names(module)
    missing, misfits = [], []
    for name, target in _base_weights(module):
        keys = [layout.prefix + key for key in names_of(name)]
        if use_ema:
            keys = [_average_of(keys[0], layout, files)]
        found = [key for key in dict.fromkeys(keys) if key in where]
        if not found:
            missing.append(f'{name} (looked for {keys[0]})')
            continue
        if len(found) > 1:
            raise _two_sources(part, files, found)
        key = found[0]
        third = _QKV[name.split('.')[-2]] if '.in_proj_' in key else None
        is_transposed = key.rpartition('.')[2] == 'text_projection'  # of OpenCLIP; others add '.weight'
        shape = where[key].shapes[key]
        if _fits(shape[::-1] if is_transposed else shape, target, third, part):
            plan.setdefault(where[key], []).append(Assignment(target, key, third, is_transposed))
        else:
            misfits.append(f'{name}: {tuple(target.shape)} expected, {shape} in the file (as {key})')
    unknown = [] if missing or misfits else _unknown(part, module, layout, where)
    if missing or misfits or unknown:
        raise ValueError(_describe(part, module, files, missing, misfits, unknown))


def _base_weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights without the adapter, by the names that they have in checkpoints of the base model."""
    for name, weight in module.state_dict().items():
        if '.lora_' not in name:
            yield name.replace('.base_layer.', '.'), weight


def _average_of(key: str, layout: _Layout, files: Sequence[WeightFile]) -> str:
    if layout.prefix != PREFIXES['unet']:
        raise ValueError(
            f'{files[0].path} keeps no moving average beside the weights: use_ema=True is for CompVis single files. '
            'Remove it, or set `variant` to the variant that you want.'
        )
    return ema_key(key)


def _fits(shape: tuple[int, ...], target: Tensor, third: int | None, part: str) -> bool:
    if third is not None:
        shape = (shape[0] / 3, *shape[1:])
    if part == 'vae' and target.dim() == 2:  # attention: 1x1 convolutions in CompVis files, linear layers today
        pointwise = (1,) * (len(shape) - 2)
        return shape == (*target.shape, *pointwise)
    return shape == tuple(target.shape)


def _same_names(module: nn.Module) -> KeysOf:
    return lambda name: [name]


def _vae_names(module: nn.Module) -> KeysOf:
    """Return the current and the former name in diffusers, which differ in an autoencoder's attention."""

    def names_of(name):
        old = name
        for new_part, old_part in _OLD_VAE_ATTENTION.items():
            old = old.replace(f'.{new_part}.', f'.{old_part}.')
        return [name, old]

    return names_of


def _text_names(module: nn.Module) -> KeysOf:
    """Return the former name in transformers, which has one more level, and the current one."""

    def names_of(name):
        name = name.removeprefix('text_model.')
        return [f'text_model.{name}', name]

    return names_of


def _open_clip_names(module: nn.Module) -> KeysOf:
    return lambda name: [open_clip_key(name.removeprefix('text_model.'))]


def _compvis_unet_names(module: nn.Module) -> KeysOf:
    key_map = unet_key_map(module.config)
    return lambda name: [key_map[name]]


def _compvis_vae_names(module: nn.Module) -> KeysOf:
    if not isinstance(module, AutoencoderKL):
        return _same_names(module)  # the single file has another autoencoder, which the error names
    key_map = vae_key_map(module.config)
    return lambda name: [key_map[name]]


_SGM = 'conditioner.embedders.0.model.'  # Stable Diffusion 2.x as Stability's generative-models saves it, SD-Turbo too
_CLIP, _SDXL_CLIP = (PREFIXES[name].removesuffix('text_model.') for name in ('clip', 'sdxl_clip'))
_BARE_TEXT = [
    _Layout(r'transformer\.resblocks\.', '', _open_clip_names),
    _Layout(r'(text_model\.)?(embeddings|encoder\.layers)\.', '', _text_names),
]
# The last layout of each part is assumed if there is no mark.
_LAYOUTS = {
    'unet': [
        _Layout(re.escape(PREFIXES['unet']), PREFIXES['unet'], _compvis_unet_names),
        _Layout(r'input_blocks\.', '', _compvis_unet_names),
        _Layout(r'down_blocks\.', '', _same_names),
    ],
    'vae': [
        _Layout(re.escape(PREFIXES['vae']), PREFIXES['vae'], _compvis_vae_names),
        _Layout(r'encoder\.(down|mid)\.', '', _compvis_vae_names),
        _Layout(r'encoder\.(down_blocks|mid_block|layers)\.', '', _vae_names),
    ],
    'text_encoder': [
        _Layout(re.escape(PREFIXES['open_clip']), PREFIXES['open_clip'], _open_clip_names),
        _Layout(re.escape(_SGM), _SGM, _open_clip_names),
        _Layout(re.escape(_CLIP), _CLIP, _text_names),
        _Layout(re.escape(_SDXL_CLIP), _SDXL_CLIP, _text_names),
        *_BARE_TEXT,
    ],
    'text_encoder_2': [
        _Layout(re.escape(PREFIXES['sdxl_open_clip']), PREFIXES['sdxl_open_clip'], _open_clip_names),
        *_BARE_TEXT,
    ],
}
_ALL_PREFIXES = tuple({layout.prefix for layouts in _LAYOUTS.values() for layout in layouts} - {''})


def _recognise(part: str, files: Sequence[WeightFile], keys: Mapping[str, WeightFile]) -> _Layout:
    layouts = [layout for layout in _LAYOUTS[part] if any(re.match(layout.mark, key) for key in keys)]
    if len(layouts) > 1:
        raise _two_sources(part, files, [next(key for key in keys if re.match(each.mark, key)) for each in layouts])
    if not layouts and any(key.startswith(_ALL_PREFIXES) for key in keys):
        return _LAYOUTS[part][0]  # a single file without this part
    return (layouts or _LAYOUTS[part][-1:])[0]


def _two_sources(part: str, files: Sequence[WeightFile], keys: Sequence[str]) -> ValueError:
    names = ' and '.join(map(repr, keys))
    return ValueError(f'{files[0].path} holds two sources of the {part}, with weights such as {names}: remove one')


def _unknown(part: str, module: nn.Module, layout: _Layout, keys: Mapping[str, WeightFile]) -> list[str]:
    """Return the weights that neither the module as it was published nor another part of a single file has."""
    others = () if not layout.prefix else tuple(each for each in _ALL_PREFIXES if not layout.prefix.startswith(each))
    left = [key for key in keys if not key.startswith(others) and not _NOT_NEEDED.fullmatch(key)]
    names_of = layout.names(module)
    names = published_names(module) if isinstance(module, ModelMixin) else [name for name, _ in _base_weights(module)]
    known = {layout.prefix + key for name in names for key in names_of(name)}
    if layout.names is _open_clip_names and part == 'text_encoder':  # SD 2.x reads the last layer but one; XL has all
        unused = f'{layout.prefix}transformer.resblocks.{len(getattr(module, "text_model", module).encoder.layers)}.'
        left = [key for key in left if not key.startswith(unused)]
    return [key for key in left if key not in known]


def _describe(part: str, module: nn.Module, files, missing, misfits, unknown) -> str:
    paths = ', '.join(str(file.path) for file in files)
    lines = [f'The weights in {paths} do not fit the {part}; nothing was loaded.']
    titles = {'missing': missing, 'with another shape': misfits, 'that the network does not have': unknown}
    for title, entries in titles.items():
        if entries:
            shown = entries[:_MAX_SHOWN] + ['...'] * (len(entries) > _MAX_SHOWN)
            lines.append(f'{len(entries)} {title}:\n    ' + '\n    '.join(shown))
    shapes = {key: shape for file in files for key, shape in file.shapes.items()}
    return '\n'.join([*lines, _likely_cause(part, module, shapes)])


def _likely_cause(part: str, module: nn.Module, shapes: Mapping[str, tuple]) -> str:
    if any('.base_layer.' in key for key in shapes):
        return 'The file holds an adapter beside its base: save the model with the adapter fused into its weights.'
    if any('lora' in key.lower() for key in shapes):
        return (
            'This is a LoRA file: it changes weights and does not contain them. Give its base model as checkpoint, and '
            'the file as `lora` in init_cfg.'
        )
    if any(key.startswith(('backbone.', 'module.backbone.')) for key in shapes):
        return 'This is the checkpoint of a whole model: give it to `mim test` or as `load_from`.'
    if prefix := _wrapping(module, shapes):
        return (
            f'In the file, the names of the weights begin with {prefix!r}, as a wrapper saves them. Remove this prefix.'
        )
    theirs = describe_family(_of_part(part, shapes))
    ours = describe_family({name: tuple(weight.shape) for name, weight in _base_weights(module)})
    if theirs and theirs.part and not part.startswith(theirs.part):
        return f'These are the weights of {theirs.name}, without the {part}. {_PART_BY_PART}'
    if theirs and theirs != ours:
        return f'These are the weights of {theirs.name}; the network is {ours.name if ours else part}. {theirs.advice}'
    return f'The checkpoint is incomplete, has no {part}, or belongs to another architecture. {_PART_BY_PART}'


def _wrapping(module: nn.Module, shapes: Mapping[str, tuple]) -> str | None:
    """Return what the name of each weight in a file begins with, in addition to the name that the module has."""
    names = [name for name, _ in _base_weights(module)]
    ends = [key.removesuffix(names[0]) for key in shapes if key.endswith(f'.{names[0]}')]
    return next((prefix for prefix in ends if all(prefix + name in shapes for name in names)), None)


def _of_part(part: str, shapes: Mapping[str, tuple]) -> Mapping[str, tuple]:
    """Return the weights of one part of a single file, if it has the part."""
    prefixes = tuple(layout.prefix for layout in _LAYOUTS[part] if layout.prefix)
    return {key: shape for key, shape in shapes.items() if key.startswith(prefixes)} or shapes
