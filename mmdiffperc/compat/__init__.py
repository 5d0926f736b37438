"""Shims that let the OpenMMLab stack of 2024 run safely on today's torch; each file says when it can be deleted."""

import os

from . import (
    checkpoint,
    checkpoint_hook,
    dataset_content,
    fsdp_strategy,
    init_log,
    mmcv_ops,
    stored_config,
    xtcocotools,
)

# mmseg imports albumentations, which would ask the internet for its latest version at each start.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

for _part in (
    mmcv_ops,
    xtcocotools,
    checkpoint,
    stored_config,
    checkpoint_hook,
    fsdp_strategy,
    dataset_content,
    init_log,
):
    _part.install()
