"""From a checkpoint to filled networks: locate it, check its architecture, assign its tensors, and copy them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.registry import is_pretrained

from .assignment import plan_filling
from .lora import apply_lora
from .network_inputs import check_same_inputs, check_same_scaling
from .sources import Checkpoint, Source, locate

PARTS = ('unet', 'vae', 'text_encoder', 'text_encoder_2')


WhileFilling = Callable[[Source], AbstractContextManager]


def initialise(
    model: BaseModule,
    modules: Mapping[str, nn.Module],
    extra: Sequence[str] = (),
    while_filling: WhileFilling = nullcontext,
) -> Source | None:
    """Initialise a model as its ``init_cfg`` says.

    ``dict(type='Pretrained', checkpoint=...)`` names a Stable Diffusion and may have other arguments of
    :func:`load_weights`. With a ``prefix``, it names an OpenMMLab checkpoint, which mmengine loads.

    Args:
        model (BaseModule): The model.
        modules (Mapping[str, nn.Module]): The parts of the model that :func:`load_weights` can fill, by name.
        extra (Sequence[str]): Parts to locate as well, so that more can be loaded from the returned source.
        while_filling (Callable): See :func:`load_weights`.

    Returns:
        Source | None: The located Stable Diffusion, or None if the config names none.

    Raises:
        ValueError: The OpenMMLab checkpoint has no weights with the prefix.
    """
    init_cfg = dict(model.init_cfg or {})
    if is_pretrained(init_cfg) and 'prefix' not in init_cfg:
        del init_cfg['type']
        source = load_weights(**init_cfg, extra=extra, while_filling=while_filling, **modules)
        model._is_init = True
        return source
    if not model.init_cfg:
        MMLogger.get_current_instance().warning(
            f'{type(model).__name__} has no init_cfg: its weights are random until a checkpoint is loaded'
        )
    try:
        BaseModule.init_weights(model)
    except AssertionError as error:  # mmengine does not say which config is wrong
        raise ValueError(f'init_cfg={model.init_cfg}: expected a prefix that its weights have, but {error}') from error
    return None


def load_weights(
    checkpoint: Checkpoint | Source,
    *,
    variant: str | None = None,
    use_ema: bool = False,
    components: Sequence[str] | None = None,
    lora: str | Path | None = None,
    extra: Sequence[str] = (),
    while_filling: WhileFilling = nullcontext,
    **modules: nn.Module,
) -> Source:
    """Fill modules of Stable Diffusion in place with the weights of a checkpoint; their dtype and device stay.

    No weight stays random, and none is dropped: the checkpoint must hold every weight of every module in its shape, and
    no others, except for those that :func:`.plan_filling` lists. Otherwise no module changes, and the error names the
    weights that do not fit. Parts that were removed from a module, such as a decoder or an output layer, need not be in
    the checkpoint.

    Args:
        checkpoint (str | Path | Mapping | Source): One of

            - a hub id, ``organisation/name``: only the files that are needed and not in the cache are downloaded;
            - a diffusers folder (``unet/``, ``vae/``, ``text_encoder/``; safetensors or bin, whole or sharded), or the
              folder of a single part;
            - a single file, ``.ckpt`` or ``.safetensors``, of SD 1.x, SD 2.x or SDXL;
            - a file of one part, with the names of diffusers, transformers, CompVis or OpenCLIP; on the hub, it is
              ``organisation/name/file``;
            - a preset that ships with weights: ``'tiny-sd'``;
            - one of these for each part, ``dict(unet=..., vae=..., text_encoder=..., text_encoder_2=...)``;
            - the returned :class:`.Source` of an earlier call, with the parts that it has located.
        variant (str, optional): Variant of a diffusers folder, such as ``'fp16'``, see :func:`.locate`.
        use_ema (bool): Take the moving average ``model_ema.*`` of the U-Net from a CompVis file. Defaults to False.
        components (Sequence[str], optional): Names of the modules to fill. Default: all of ``modules``.
        lora (str | Path, optional): An adapter of the U-Net, loaded after its weights, see :func:`.apply_lora`.
        extra (Sequence[str]): Parts to locate as well, so that more can be loaded from the returned source.
        while_filling (Callable): From the located checkpoint to a context in which the modules have the form of its
            weights, such as :func:`.plain_inputs`. Default: the modules stay as they are.
        **modules: Any of ``unet`` (UNet2DConditionModel), ``vae`` (AutoencoderKL), ``text_encoder`` (CLIPTextModel) and
            ``text_encoder_2`` (CLIPTextModelWithProjection).

    Returns:
        Source: The located checkpoint.

    Raises:
        FileNotFoundError: The checkpoint does not exist, or lacks a part or the variant.
        RuntimeError: The file is truncated or holds no weights, or the hub cannot be reached.
        ValueError: The weights are incomplete, or belong to another architecture; a part has two sources; the adapter
            does not fit; or ``components`` has an unknown name. Also if a weight is NaN, infinite or not of a
            floating-point type; in this case some modules are already filled.
        pickle.UnpicklingError: A pickled file refers to code that loading would execute; nothing is executed.
    """
    if unknown := set(modules) - set(PARTS):
        raise TypeError(f'Expected modules among {PARTS}, got {sorted(unknown)}.')
    components = list(modules) if components is None else components
    if unknown := set(components) - set(modules):
        raise ValueError(f'components={tuple(components)}: expected some of {tuple(modules)}, got {sorted(unknown)}')
    modules = {name: modules[name] for name in components}
    if lora and 'unet' not in modules:
        raise ValueError(f'lora={str(lora)!r} adapts the U-Net, which is not among components={tuple(components)}')
    source = checkpoint if isinstance(checkpoint, Source) else locate(checkpoint, [*modules, *extra], variant)
    with while_filling(source):
        _check_config(source, modules, 'unet', check_same_inputs)
        plan = plan_filling(source, modules, use_ema)
        _check_config(source, modules, 'vae', check_same_scaling)  # now: the plan reveals a U-Net of another family
        for file, assignments in plan.items():
            file.fill(assignments)
    if 'vae' in modules:
        _note_repair(source, modules['vae'])
    if lora:
        apply_lora(modules['unet'], lora)
    return source


def _check_config(source: Source, modules: Mapping[str, nn.Module], part: str, check: Callable):
    """Refuse what the shapes of weights do not always reveal: a U-Net with other inputs, latents of another size."""
    if part in modules:
        path, config = source.config(part, type(modules[part]).__name__)
        if config:
            check(path, config, modules[part].config)


def _note_repair(source: Source, vae: nn.Module):
    """Note in the config if the autoencoder is SDXL's that was repaired for half precision."""
    if source.config('vae', type(vae).__name__)[1].get('force_upcast', True) is False:
        vae.register_to_config(force_upcast=False)
