"""Checks of what a config says about a diffusion model, made while it is built, not at the first iteration."""

from collections.abc import Sequence
from pathlib import Path

NUM_TIMESTEPS = 1000  # of the noise schedule that all of Stable Diffusion was trained with
COMPONENTS = ('unet', 'vae')
_LOADED_HERE = {'type', 'checkpoint', 'variant', 'use_ema', 'components'}
_LOADED_BY_MMENGINE = {'type', 'checkpoint', 'prefix', 'map_location'}


def check_timestep(timestep: int) -> int:
    """The timestep, if the U-Net knows it.

    Raises:
        ValueError: It is no whole number, or out of range.
    """
    if not isinstance(timestep, int) or not 0 <= timestep < NUM_TIMESTEPS:
        raise ValueError(f'timestep={timestep!r}: expected a whole number from 0 to {NUM_TIMESTEPS - 1}')
    return timestep


def check_refine_steps(num_refine_steps: int, out_indices: Sequence[int]) -> int:
    """The number of passes, if they are possible.

    Raises:
        ValueError: It is no positive whole number, or there are several but the level that becomes their latents is
            missing.
    """
    if not isinstance(num_refine_steps, int) or num_refine_steps < 1:
        raise ValueError(f'num_refine_steps={num_refine_steps!r}: expected the number of passes, 1 or more')
    if num_refine_steps > 1 and 0 not in out_indices:
        raise ValueError(
            f'num_refine_steps={num_refine_steps} needs the finest level, which becomes the latents of the next pass, '
            f'but out_indices={tuple(out_indices)}: add 0 to out_indices, or set num_refine_steps=1'
        )
    return num_refine_steps


def check_out_strides(out_strides: Sequence[int] | None, own: Sequence[int]) -> tuple[int, ...]:
    """The strides of the features, which are their own by default.

    Raises:
        ValueError: They are no list of positive whole numbers, or not one for each feature.
    """
    if out_strides is None:
        return tuple(own)
    if (
        not isinstance(out_strides, Sequence)
        or len(out_strides) != len(own)
        or any(not isinstance(stride, int) or stride < 1 for stride in out_strides)
    ):
        raise ValueError(
            f'out_strides={out_strides!r}: expected a stride in pixels for each of the {len(own)} features that '
            f'out_indices names, whose own are {tuple(own)}; or None, which keeps them'
        )
    return tuple(out_strides)


def check_lora(lora: dict) -> dict:
    """The arguments of an adapter.

    Raises:
        ValueError: They are none.
    """
    if not isinstance(lora, dict):
        raise ValueError(f'lora={lora!r}: expected arguments of peft.LoraConfig, such as dict(r=8), or None')
    return lora


def check_prompts_cfg(prompts: dict) -> dict:
    """The config of prompts.

    Raises:
        ValueError: It is none, or does not say of which type.
    """
    if not isinstance(prompts, dict) or 'type' not in prompts:
        raise ValueError(f"prompts={prompts!r}: expected a config such as dict(type='ClassPrompts', classes='ade')")
    return prompts


def check_given(config: dict, known: dict):
    """Compare what a config gives by hand with what is known from the rest of the model.

    Raises:
        ValueError: They differ.
    """
    for name, wanted in known.items():
        if (given := config.get(name, wanted)) != wanted:
            raise ValueError(
                f'{config["type"]} has {name}={given!r}, but the backbone has {wanted!r}: leave {name} out'
            )


def check_init_cfg(init_cfg: dict | None) -> dict | None:
    """The config that names the weights to start from.

    Raises:
        ValueError: It is no such config, names no checkpoint, or has an option or a component that nobody knows.
    """
    if init_cfg is None:
        return None
    if not isinstance(init_cfg, dict) or 'type' not in init_cfg:
        raise ValueError(f"init_cfg={init_cfg!r}: expected dict(type='Pretrained', checkpoint=...)")
    if init_cfg['type'] == 'Pretrained':
        _check_pretrained(init_cfg)
    return init_cfg


def _check_pretrained(init_cfg: dict):
    if not isinstance(init_cfg.get('checkpoint'), (str, Path)):
        raise ValueError(
            f'init_cfg={init_cfg!r}: expected a checkpoint, which is a hub id, a folder or a file, such as '
            "'stable-diffusion-v1-5/stable-diffusion-v1-5'"
        )
    options = _LOADED_BY_MMENGINE if 'prefix' in init_cfg else _LOADED_HERE
    if unknown := set(init_cfg) - options:
        raise ValueError(f'init_cfg has {", ".join(sorted(unknown))}: expected some of {", ".join(sorted(options))}')
    components = init_cfg.get('components', COMPONENTS)
    if not isinstance(components, (list, tuple)) or not set(components) <= set(COMPONENTS):
        raise ValueError(f'init_cfg has components={components!r}: expected a list of some of {COMPONENTS}')
