"""Types for annotations of diffusion models, and checks of several arguments together."""

import inspect
import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Generic, Literal, NotRequired, TypeVar

from diffusers import DDIMScheduler
from peft import LoraConfig
from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from mmdiffperc.registry import is_pretrained
from mmdiffperc.validation import (
    STRICT,
    Component,
    Distinct,
    Expected,
    Fraction,
    Listed,
    Location,
    NonNegativeInt,
    PositiveFloat,
    Text,
    options,
)
from mmdiffperc.weights.network_inputs import NUM_TIME_IDS

NUM_TIMESTEPS = 1000  # of the noise schedule that all of Stable Diffusion was trained with

_ARCH = "'sd1-4', 'sd1-5', 'sd2-1', 'sdxl', 'sdxl-turbo', 'tiny-sd', a folder of configs, or dict(unet=..., vae=...)"


class _ArchParts(TypedDict):
    __pydantic_config__ = STRICT
    unet: Location
    vae: Location
    text_encoder: NotRequired[Location]
    text_encoder_2: NotRequired[Location]


Arch = Annotated[Location | Annotated[_ArchParts, options(_ArchParts.__annotations__, _ARCH)], Expected(_ARCH)]
EXTRA_LATENTS = {  # preset -> what the input channels hold, in order
    'marigold': ('scaled image', 'noise'),
    'e2e-ft': ('scaled image', 'zeros'),
    'instruct-pix2pix': ('noise', 'image'),
    'inpainting': ('scaled image', 'zeros', 'scaled image'),  # between the images, a mask that keeps every pixel
}
_Entry = Literal['image', 'scaled image', 'noise', 'zeros']
ExtraLatents = Annotated[
    Literal[tuple(EXTRA_LATENTS)] | Listed[_Entry],
    Expected(f"one of {', '.join(EXTRA_LATENTS)}, or a list of 'image', 'scaled image', 'noise' and 'zeros'"),
]
TaskEmbedding = Annotated[
    Listed[float], Field(min_length=2, max_length=2), Expected('two numbers, such as (1, 0) for depth with Lotus')
]
TimeIds = Annotated[
    Listed[NonNegativeInt],
    Field(min_length=NUM_TIME_IDS, max_length=NUM_TIME_IDS),
    Expected(
        f'{NUM_TIME_IDS} whole numbers of 0 or more: height and width of the original image, top and left of the crop, '
        'height and width of the target, such as (1024, 1024, 0, 0, 1024, 1024)'
    ),
]
InputScale = Annotated[float, Field(ge=1, le=8), Expected('a scale from 1 to 8')]
FROZEN_PARTS = ('unet', 'autoencoder', 'text_encoder')
Frozen = Annotated[
    bool | Annotated[Sequence[Literal[FROZEN_PARTS]], Distinct],
    Expected(f'True, False, or a list of the frozen parts, some of {", ".join(FROZEN_PARTS)}'),
]
Timestep = Annotated[int, Field(ge=0, lt=NUM_TIMESTEPS), Expected(f'a whole number from 0 to {NUM_TIMESTEPS - 1}')]
Passes = Annotated[int, Field(ge=1, le=100), Expected('a number of passes from 1 to 100')]
Timesteps = Annotated[
    Timestep | Listed[Timestep], Expected(f'whole numbers from 0 to {NUM_TIMESTEPS - 1}: one, or a list')
]
Levels = Annotated[Listed[NonNegativeInt], Expected('a list of levels, 0 for the finest')]
Prompts = Annotated[Component, Expected("a config such as dict(type='ClassPrompts', classes='ade')")]


class _TapOptions(TypedDict):
    __pydantic_config__ = STRICT
    module: Annotated[Text | Listed[Text], Expected('a name, or a list of names')]
    tensor: NotRequired[Literal['output', 'input']]


_TAP = "a name, such as 'mid_block', or dict(module='mid_block')"
Taps = Listed[
    Annotated[
        Annotated[Text, Expected(_TAP), Tag('name')]
        | Annotated[_TapOptions, options(_TapOptions.__annotations__, _TAP), Tag('options')],
        Discriminator(lambda tap: 'options' if isinstance(tap, dict) else 'name'),
    ]
]


def _pattern(targets: str | Sequence[str]) -> str | Sequence[str]:
    if isinstance(targets, str):
        re.compile(targets)
    return targets


class _LoraOptions(TypedDict):
    # Only what peft accepts silently or refuses with an unclear message; peft checks the rest.
    __pydantic_config__ = ConfigDict(STRICT, extra='allow')
    attention: NotRequired[Literal['all', 'self']]
    r: NotRequired[Annotated[int, Field(ge=1, le=4096), Expected('a rank, a whole number from 1 to 4096')]]
    lora_alpha: NotRequired[PositiveFloat]
    lora_dropout: NotRequired[Annotated[float, Field(ge=0, lt=1), Expected('a probability from 0 to less than 1')]]
    target_modules: NotRequired[
        Annotated[
            str | Listed[str], AfterValidator(_pattern), Expected('names of layers, or one valid regular expression')
        ]
    ]
    use_dora: NotRequired[bool]
    use_rslora: NotRequired[bool]


class _ScheduleOptions(TypedDict):
    __pydantic_config__ = ConfigDict(STRICT, extra='allow')
    num_train_timesteps: NotRequired[Annotated[int, Field(ge=2, le=100000), Expected('a number from 2 to 100000')]]
    beta_start: NotRequired[Fraction]
    beta_end: NotRequired[Fraction]
    beta_schedule: NotRequired[Literal['linear', 'scaled_linear', 'squaredcos_cap_v2']]
    set_alpha_to_one: NotRequired[bool]
    steps_offset: NotRequired[NonNegativeInt]
    timestep_spacing: NotRequired[Literal['leading', 'trailing', 'linspace']]
    rescale_betas_zero_snr: NotRequired[bool]


def _names(cls: type) -> list[str]:
    return list(inspect.signature(cls).parameters)


_LORA = 'arguments of peft.LoraConfig, such as dict(r=8)'
Lora = Annotated[_LoraOptions, options(_names(LoraConfig), _LORA)]
AttentionLora = Annotated[_LoraOptions, options(['attention', *_names(LoraConfig)], _LORA)]
Schedule = Annotated[_ScheduleOptions, options(_names(DDIMScheduler), 'arguments of diffusers.DDIMScheduler')]

Part = TypeVar('Part')
_WEIGHTS = "dict(type='Pretrained', checkpoint=...)"
_Source = Annotated[Location, Expected('a checkpoint, which is a hub id, a folder or a file')]


class _Parts(TypedDict):
    __pydantic_config__ = STRICT
    unet: NotRequired[_Source]
    vae: NotRequired[_Source]
    text_encoder: NotRequired[_Source]
    text_encoder_2: NotRequired[_Source]


_PARTS = 'a checkpoint, which is a hub id, a folder or a file; or dict(unet=..., vae=..., text_encoder=...) of these'


class _StableDiffusion(TypedDict, Generic[Part]):
    __pydantic_config__ = STRICT
    type: Any
    checkpoint: Annotated[_Source | Annotated[_Parts, options(_Parts.__annotations__, _PARTS)], Expected(_PARTS)]
    variant: NotRequired[str | None]
    use_ema: NotRequired[bool]
    components: NotRequired[Listed[Part]]
    lora: NotRequired[Annotated[Location, Expected('a file of an adapter, or its folder')]]


class _OpenMMLab(TypedDict):
    __pydantic_config__ = STRICT
    type: Any
    checkpoint: _Source
    prefix: str
    map_location: NotRequired[str | None]


def _kind(init_cfg: Any) -> str:
    if not isinstance(init_cfg, dict) or not is_pretrained(init_cfg):
        return 'other'
    return 'OpenMMLab' if 'prefix' in init_cfg else 'Stable Diffusion'


def _init_cfg(part):
    return Annotated[
        Annotated[_StableDiffusion[part], options(_StableDiffusion.__annotations__, _WEIGHTS), Tag('Stable Diffusion')]
        | Annotated[_OpenMMLab, options(_OpenMMLab.__annotations__, _WEIGHTS), Tag('OpenMMLab')]
        | Annotated[Component, Expected(_WEIGHTS), Tag('other')],
        Discriminator(_kind),
    ]


InitCfg = _init_cfg(Literal['unet', 'vae'])
GeneratorInitCfg = _init_cfg(Literal['unet', 'vae', 'text_encoder'])


def check_refine_steps(num_refine_steps: int, last: str, modules: Collection[str]) -> int:
    """Raise ``ValueError`` if several passes lack the last up block, which becomes the latents of the next pass."""
    if num_refine_steps > 1 and last not in modules:
        raise ValueError(
            f'num_refine_steps={num_refine_steps} needs the output of {last!r}, which becomes the latents of the next '
            f'pass, but the features are {", ".join(modules)}: add 0 to out_indices or {last!r} to taps, or set '
            'num_refine_steps=1'
        )
    return num_refine_steps


def check_extra_latents(
    extra_latents: str | Sequence[str] | None, scale_latents: bool, noise: str, num_refine_steps: int
):
    """Raise ``ValueError`` if ``extra_latents`` is combined with what it defines, or with several passes."""
    if extra_latents is None:
        return
    if scale_latents:
        raise ValueError(f'extra_latents={extra_latents!r} says which latents are scaled: leave out scale_latents=True')
    if noise != 'none':
        raise ValueError(f'noise={noise!r} cannot be combined with extra_latents={extra_latents!r}: leave noise out')
    if num_refine_steps > 1:
        raise ValueError(
            f'num_refine_steps={num_refine_steps} cannot be combined with extra_latents={extra_latents!r}: the output '
            'of such a U-Net is no input for the next pass. Set num_refine_steps=1'
        )


def frozen_parts(frozen: bool | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the frozen parts of a backbone: without a list, the autoencoder and the text encoder are."""
    if isinstance(frozen, bool):
        return FROZEN_PARTS if frozen else FROZEN_PARTS[1:]
    return tuple(frozen)


def check_reconstruction(weight: float, task_embedding: Sequence[float] | None, **others):
    """Raise ``ValueError`` if a backbone cannot learn to reconstruct images as a second task.

    Args:
        weight (float): Weight of the loss; 0 for no reconstruction.
        task_embedding (Sequence[float], optional): The first task.
        **others: Arguments of the backbone, each with a pair of its value and the only value that is possible.
    """
    if not weight:
        return
    if task_embedding is None:
        raise ValueError(
            f'reconstruction_weight={weight} needs task_embedding, such as (1, 0), which tells the U-Net which of the '
            'two tasks it performs'
        )
    for name, (value, possible) in others.items():
        if value != possible:
            raise ValueError(
                f'{name}={value!r} cannot be combined with reconstruction_weight={weight}: set {name}={possible!r}'
            )


def check_out_strides(out_strides: Sequence[int] | None, own: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of the features, by default those of their levels; raise ``ValueError`` if one is missing."""
    if out_strides is None:
        return tuple(own)
    if len(out_strides) != len(own):
        raise ValueError(
            f'out_strides={tuple(out_strides)}: expected a stride in pixels for each of the {len(own)} features that '
            f'out_indices or taps select; or None, which keeps their strides {tuple(own)}'
        )
    return tuple(out_strides)


def check_text_encoder(prompts: dict, init_cfg: dict | None):
    """Raise ``ValueError`` if prompts and ``init_cfg``, part by part, name two sources of the text encoder."""
    parts = (init_cfg or {}).get('checkpoint')
    theirs = parts.get('text_encoder') if isinstance(parts, dict) else None
    ours = prompts.get('checkpoint')
    if None not in (ours, theirs) and str(ours) != str(theirs):
        raise ValueError(
            f'prompts.checkpoint={str(ours)!r} and init_cfg.checkpoint has text_encoder={str(theirs)!r}: expected one '
            'source of the text encoder. Give the same to both'
        )
