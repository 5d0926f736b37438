"""Recognise published models of dense prediction by their diffusers folders."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mmengine.logging import MMLogger

from mmdiffperc.files import brief, read_json
from mmdiffperc.weights.network_inputs import TASK_WIDTH, USUAL_LATENTS
from mmdiffperc.weights.noise_schedule import SCHEDULE

from .normal_axes import AXES, INSIDE

INDEX = 'model_index.json'
SETTINGS = 'one_step_diffusion.json'  # arguments of OneStepDiffusion in a folder that it wrote
Modality = Literal['depth', 'disparity', 'normals']
# Modality -> what it is called in the index of a pipeline, and in names of folders.
_NAMES = dict(normals='normal', disparity='disparity', depth='depth')
_RELATIVE = dict(target_mode='F', target_scale='quantiles')
_TARGETS = dict(
    depth=_RELATIVE, disparity=dict(_RELATIVE, target_transform='disparity'), normals=dict(target_mode='normals')
)
_RES = 768  # at which all of them are usually run
_STEPS = 4  # as the documentation of Marigold suggests
# Model -> its settings. The prompt has two tokens in the code of each; E2E-FT is trained with 77.
_MODELS = {
    'Marigold': dict(target_input='noise', num_tokens=2, last_latents='previous'),
    'E2E-FT': dict(target_input='zeros', num_tokens=2, scheduler=dict(timestep_spacing='trailing')),
    'Lotus-D': dict(timestep=999, prediction_type='sample', num_tokens=2, sample_latents=True, task_embedding=(1, 0)),
    'GenPercept': dict(timestep=1, num_tokens=2),
}
_MODELS['Lotus-G'] = dict(_MODELS['Lotus-D'], target_input='noise')


def published_settings(folder: str | Path, modality: Modality | None = None) -> dict:
    """Return the arguments of :class:`.OneStepDiffusion` for a published model.

    Marigold, E2E-FT, Lotus and GenPercept are recognised by the channels and the task embedding of the U-Net and by the
    noise schedule, because the pipeline that ``model_index.json`` names is wrong in some folders. Folders that
    ``tools/export_marigold.py`` wrote hold their settings.

    Args:
        folder (str | Path): A diffusers folder with ``unet``, ``vae``, ``text_encoder``, ``tokenizer`` and
            ``scheduler``.
        modality (str, optional): ``'depth'``, ``'disparity'`` or ``'normals'``. Default: what ``model_index.json`` or
            else the path of the folder says.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folder holds another model, such as Marigold's intrinsic decomposition, or another modality, or
            does not tell its modality.
    """
    named = folder
    folder = Path(folder).expanduser().absolute()  # a config may be used in another folder
    if not folder.is_dir():
        raise FileNotFoundError(
            f'{named}: expected the folder of a model, which does not exist. To download a model from the hub, run '
            f'"hf download {named} --local-dir {folder.name}", and give that folder'
        )
    weights = dict(arch=str(folder), init_cfg=dict(type='Pretrained', checkpoint=str(folder)))
    index = read_index(folder)
    if (folder / SETTINGS).is_file():
        _modality(folder, index, modality)  # raises ValueError if the folder names another one
        return read_json(folder / SETTINGS) | weights
    schedule = read_json(folder / SCHEDULE)
    name = _recognise(folder, read_json(folder / 'unet' / 'config.json'), schedule, index)
    settings = dict(prediction_type=schedule.get('prediction_type', 'epsilon'), processing_res=_RES) | _MODELS[name]
    if (kind := schedule.get('_class_name')) == 'LCMScheduler':
        raise ValueError(
            f'{folder / SCHEDULE} describes {kind}, the schedule of latent consistency models, which is not supported: '
            'take the newer version of this Marigold, which also predicts in a few steps'
        )
    if name == 'Marigold':
        settings.update(_marigold_defaults(folder, index))
    modality = _modality(folder, index, modality)
    settings.update(_TARGETS[modality])
    if modality == 'normals':
        settings.update(_normals(name, index))
    return settings | weights


def read_index(folder: Path) -> dict:
    """Return the content of ``model_index.json``, which is empty if there is none."""
    return read_json(folder / INDEX) if (folder / INDEX).is_file() else {}


def modality_of(index: Mapping) -> Modality | None:
    """Return the modality that ``model_index.json`` names, if any."""
    named = f'{index.get("prediction_type")} {index.get("_class_name")}'.lower()
    return next((modality for modality, name in _NAMES.items() if name in named), None)


def _recognise(folder: Path, unet: Mapping, schedule: Mapping, index: Mapping) -> str:
    channels, returned = (unet.get(name, USUAL_LATENTS) for name in ('in_channels', 'out_channels'))
    if returned != USUAL_LATENTS:
        raise ValueError(
            f"{folder}: the U-Net has {channels} input and {returned} output channels, as in Marigold's intrinsic "
            'decomposition, which is not supported: expected a model of depth or normals'
        )
    inputs = channels // USUAL_LATENTS if channels in (USUAL_LATENTS, 2 * USUAL_LATENTS) else None
    has_task = unet.get('class_embed_type') == 'projection'
    if inputs and has_task and unet.get('projection_class_embeddings_input_dim') == TASK_WIDTH:
        return 'Lotus-D' if inputs == 1 else 'Lotus-G'
    if inputs == 2 and not has_task:
        is_marigold = 'default_denoising_steps' in index and not re.search('e2e[-_]ft', str(folder), re.IGNORECASE)
        return 'Marigold' if is_marigold else 'E2E-FT'
    # Without signal in the schedule, the prediction of v is the negative target.
    if inputs == 1 and not has_task and schedule.get('beta_start') == schedule.get('beta_end') == 1:
        return 'GenPercept'
    kind = f'in_channels={channels} and class_embed_type={brief(unet.get("class_embed_type"))}'
    raise ValueError(
        f'{folder}: the U-Net with {kind} and this noise schedule is not one of {", ".join(_MODELS)}. To train from '
        'it, set the arguments of OneStepDiffusion yourself'
    )


def _marigold_defaults(folder: Path, index: Mapping) -> dict:
    if not (index.get('scale_invariant', True) and index.get('shift_invariant', True)):
        raise ValueError(
            f'{folder / INDEX}: scale_invariant={index.get("scale_invariant")} and shift_invariant='
            f'{index.get("shift_invariant")}: expected true for both; only affine-invariant depth is supported'
        )
    return dict(
        num_steps=index.get('default_denoising_steps') or _STEPS,
        processing_res=index.get('default_processing_resolution', _RES),
    )


def _modality(folder: Path, index: Mapping, wanted: Modality | None) -> Modality:
    found = modality_of(index)
    if wanted and found and wanted != found:
        raise ValueError(f'{folder / INDEX} describes a model of {found}, but modality={wanted!r}: take another folder')
    parts = reversed(folder.resolve().parts)  # in the hub's cache, the repository comes before the snapshot
    named = (modality for part in parts for modality, name in _NAMES.items() if name in part.lower())
    if modality := found or wanted or next(named, None):
        return modality
    raise ValueError(f'{folder} does not tell what it predicts: set modality to one of {", ".join(_NAMES)}')


def _normals(name: str, index: Mapping) -> dict:
    if name == 'GenPercept':
        MMLogger.get_current_instance().warning(
            'The axes of the normals of GenPercept are not documented: compare them with true ones, and set target_axes'
        )
    axes = next((model for model in AXES if name.startswith(model)), INSIDE)
    return dict(target_axes=axes, full_z_range=index.get('use_full_z_range', True))


def check_modality(weights: Path, target_mode: str):
    """Raise ``ValueError`` if the weights of a model of normals are loaded for depth, or the other way round.

    Args:
        weights (Path): A file of the U-Net. The folder of its folder may hold ``model_index.json``.
        target_mode (str): See :class:`.TargetCodec`.
    """
    found = modality_of(read_index(weights.parent.parent))
    if found and target_mode != 'RGB' and (found == 'normals') != (target_mode == 'normals'):
        raise ValueError(
            f'{weights.parent.parent / INDEX} describes a model of {found}, but target_mode={target_mode!r}: expected '
            f'{"normals" if found == "normals" else "F"!r}, or other weights'
        )
