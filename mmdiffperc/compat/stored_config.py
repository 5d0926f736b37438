"""Prevent the execution of the config text in a checkpoint.

A checkpoint contains the config of its training as text. mmengine executes it as Python when a training run resumes
(``meta['config']``), and when an inferencer gets weights but no config (``message_hub['runtime_info']['cfg']``, or
``meta['cfg']``). Even a config of literals can run code, because building ``type='os.system'`` calls what it names.
Therefore:

- resuming only sees the number of GPUs, which is all that it reads;
- a resumed run keeps its own config in its message hub, and does not save the checkpoint's config again;
- an inferencer needs a config from the user.

Delete when mmengine's ``Runner.resume`` and ``BaseInferencer`` no longer call ``Config.fromstring`` on a checkpoint.
"""

import functools
import re
from collections.abc import Callable

from mmengine.infer import BaseInferencer

# As mmcv 1.x wrote it: ``gpu_ids = range(0, 4)`` or ``gpu_ids = [0, 1]``.
_GPU_IDS = re.compile(r'^gpu_ids = (?:range\((\d{1,4}), (\d{1,4})\)|\[([\d,\s]*)\])$', re.MULTILINE)


def forget_stored_config(checkpoint: dict) -> None:
    """Remove what mmengine would execute when resuming. The text of ``meta['cfg']`` stays, for people to read.

    Args:
        checkpoint (dict): A loaded checkpoint, changed in place.
    """
    config = checkpoint.get('meta', {}).pop('config', None)
    if isinstance(config, str) and (num_gpus := _count_gpus(config)):
        checkpoint['meta']['config'] = f'gpu_ids = {list(range(num_gpus))}'
    runtime_info = checkpoint.get('message_hub', {}).get('runtime_info')
    if isinstance(runtime_info, dict):
        runtime_info.pop('cfg', None)


def _count_gpus(config: str) -> int:
    found = _GPU_IDS.search(config)
    if not found:
        return 0
    start, stop, listed = found.groups()
    return len(re.findall(r'\d+', listed)) if start is None else len(range(int(start), int(stop)))


def require_config(init_model: Callable) -> Callable:
    """Wrap ``BaseInferencer._init_model`` so that it requires a config."""

    @functools.wraps(init_model)
    def init_model_from_config(self, cfg, weights, *args, **kwargs):
        if not cfg:
            raise ValueError(
                f'{type(self).__name__} got weights but no config: {weights}. The config in a checkpoint is code and '
                'is not executed. Pass the config of the model, such as the .py file in the work folder of the '
                'training, as the argument model (or det_model for a detector)'
            )
        return init_model(self, cfg, weights, *args, **kwargs)

    return init_model_from_config


def install() -> None:
    """Make the inferencers of all hosts require a config."""
    BaseInferencer._init_model = require_config(BaseInferencer._init_model)
