"""The toy config for depth at a tiny width, on a few small scenes, and a checkpoint of it."""

from pathlib import Path

import torch
from mmengine.config import Config
from tiny_arch import write_arch

from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

CONFIG = Path(__file__).parents[1] / 'configs/vpd/vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py'


def write_config(folder: Path) -> str:
    """Write the config; its scenes are 64 x 96."""
    write_dataset(folder / 'toy', DatasetSpec(4, 3, (64, 96), seed=2, formats=('nyu',)))
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.update(arch=write_arch(folder / 'arch', 'sd2'), init_cfg=None)
    cfg.model.decode_head.update(
        in_channels=[16, 24, 32, 40], embed_dim=4, feature_dim=32, num_deconv_filters=(12, 8, 4)
    )
    cfg.model.data_preprocessor.size = (64, 96)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(folder / 'toy' / 'nyu')
    cfg.train_dataloader.batch_size = 2
    cfg.dump(folder / 'depth.py')
    return str(folder / 'depth.py')


def write_checkpoint(config: str, path: Path) -> str:
    """Write a checkpoint of its model, with random weights."""
    from mmseg.apis import init_model

    torch.manual_seed(0)
    torch.save(dict(state_dict=init_model(config, device='cpu').state_dict(), meta=dict(dataset_meta={})), path)
    return str(path)
