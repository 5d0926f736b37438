"""Settings that published U-Nets were trained with, where they differ from those of most diffusion models."""

import re
from pathlib import Path

from mmengine.logging import MMLogger

# Pattern of the name of a file, its folder or its repository -> name and settings. The weights do not tell.
_RECIPES = {
    'cleandift': ('CleanDIFT', dict(timestep=261, scale_latents=True)),
    'lotus': ('Lotus', dict(timestep=999, scale_latents=True)),
    'sdpose': ('SDPose', dict(timestep=999, scale_latents=True)),
    'e2e-ft': ('E2E-FT', dict(timestep=999)),
}
_NAMED_AFTER = 3  # parts of a path: the folder, `unet` and the file


def warn_of_other_settings(path: Path, settings: dict):
    """Warn if a published U-Net, recognised by its path, is used with other settings than it was trained with.

    Args:
        path (Path): The file of its weights.
        settings (dict): The settings in use by name. Those that have no meaning are left out.
    """
    in_cache = [part for part in path.parts if part.startswith('models--')]  # the repository, in the hub's cache
    place = '/'.join([*in_cache, *path.parts[-_NAMED_AFTER:]])
    for pattern, (name, trained) in _RECIPES.items():
        others = [setting for setting in trained if settings.get(setting, trained[setting]) != trained[setting]]
        if others and re.search(pattern, place, re.IGNORECASE):
            expected, found = (', '.join(f'{key}={each[key]}' for key in others) for each in (trained, settings))
            MMLogger.get_current_instance().warning(
                f'{path} seems to be {name}, which was trained with {expected}, but the backbone has {found}: set '
                f'{expected}, unless you mean it'
            )
