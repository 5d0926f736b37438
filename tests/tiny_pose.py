"""The toy config for pose estimation at a tiny width, on a few small scenes, and a checkpoint of it."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_arch import write_arch

from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

CONFIG = Path(__file__).parents[1] / 'configs/metaprompts/td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py'
NUM_PROMPTS, NUM_LEVELS = 3, 4


def shrink(cfg: Config, folder: Path) -> Config:
    """Make its model tiny; the architecture is written into the folder."""
    cfg.model.backbone.update(arch=write_arch(folder / 'arch', 'sd2'), init_cfg=None)
    cfg.model.backbone.prompts.num_prompts = NUM_PROMPTS
    cfg.model.neck.update(in_channels=[16, 24, 32, 40], num_prompts=NUM_PROMPTS, embed_dims=20, num_groups=4)
    cfg.model.head.update(in_channels=NUM_LEVELS * NUM_PROMPTS, conv_out_channels=(8,))
    return cfg


def write_scenes(folder: Path) -> Path:
    """Write scenes of 64 x 96 pixels: 7 figures to train on and 4 to validate."""
    write_dataset(folder / 'toy', DatasetSpec(10, 8, (64, 96), seed=2, formats=('coco',)))
    return folder / 'toy' / 'coco'


def write_config(folder: Path) -> str:
    """Write the config and its scenes."""
    cfg = shrink(Config.fromfile(CONFIG), folder)
    root = write_scenes(folder)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(root)
    cfg.train_dataloader.batch_size = 2
    cfg.dump(folder / 'pose.py')
    return str(folder / 'pose.py')


def build(cfg: Config) -> torch.nn.Module:
    """Build its model."""
    init_default_scope('mmpose')
    import mmpose.models  # noqa: F401

    return MODELS.build(cfg.model)


def write_checkpoint(config: str, path: Path) -> str:
    """Write a checkpoint of its model, with random weights."""
    torch.manual_seed(0)
    cfg = Config.fromfile(config)
    model = build(cfg)
    torch.nn.init.normal_(model.head.final_layer.weight)  # heatmaps that have a peak
    torch.save(dict(state_dict=model.state_dict(), meta=dict()), path)
    return str(path)
