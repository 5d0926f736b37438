"""The shipped config of VPD for segmentation at a tiny width, with three classes, and a checkpoint of it."""

from pathlib import Path

import torch
from mmengine.config import Config
from tiny_arch import write_arch

CONFIG = Path(__file__).parents[1] / 'configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'
CLASSES = ['sphere', 'box', 'traffic cone']


def write_config(folder: Path) -> str:
    """Write the config: features of 8, 16, 24 and 40 channels, windows of 64 x 64, images in their own size."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.update(arch=write_arch(folder / 'arch'))
    cfg.model.backbone.prompts.classes = CLASSES
    cfg.model.neck.update(in_channels=[8, 16 + 3, 24 + 3, 40], out_channels=16)
    cfg.model.decode_head.update(in_channels=[16] * 4, channels=16, num_classes=3)
    cfg.model.test_cfg.update(crop_size=(64, 64), stride=(43, 43))
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', reduce_zero_label=True),
        dict(type='PackSegInputs'),
    ]
    cfg.dump(folder / 'tiny_vpd.py')
    return str(folder / 'tiny_vpd.py')


def write_checkpoint(config: str, path: Path) -> str:
    """Write a checkpoint of its model, with random weights."""
    from mmseg.apis import init_model

    torch.manual_seed(0)
    meta = dict(dataset_meta=dict(classes=CLASSES, palette=[[10, 20, 30], [40, 50, 60], [70, 80, 90]]))
    torch.save(dict(state_dict=init_model(config, device='cpu').state_dict(), meta=meta), path)
    return str(path)
