"""Detectors at a tiny width: mmdet's own configs with the backbone swapped, and the toy configs with few scenes."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from tiny_arch import write_arch

from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

CONFIGS = Path(__file__).parents[1] / 'configs' / 'detection'
RETINANET = CONFIGS / 'retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py'
MASK_RCNN = CONFIGS / 'mask-rcnn_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py'

CHANNELS = [8, 16, 24, 40]  # of the tiny architecture
FPN = dict(type='FPN', in_channels=CHANNELS, out_channels=8, num_outs=5)
FINER = [dict(type='FinerLevelNeck', in_channels=CHANNELS), dict(FPN, in_channels=[4, *CHANNELS])]
NARROW = dict(in_channels=8, feat_channels=8)

NUM_CLASSES = 9  # of the toy scenes
WITH_MAPS = [8, 16 + NUM_CLASSES, 24 + NUM_CLASSES, 40]


def build_stock(
    name: str, arch: str, neck, prompts: dict | None = None, taps: list | None = None, **changes
) -> torch.nn.Module:
    """Build a model of mmdet's configs on a tiny U-Net, with this neck and these changes."""
    init_default_scope('mmdet')
    cfg = Config(dict(model=get_config(f'mmdet::{name}').model))
    cfg.model.pop('backbone')
    cfg.model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3)
    cfg.model.update(backbone=dict(type='DiffusionUNet', arch=arch, prompts=prompts, taps=taps), neck=neck)
    cfg.merge_from_dict(dict(model=changes))
    return MODELS.build(cfg.model)


def shrink(cfg: Config, folder: Path) -> Config:
    """Make the model of a toy config tiny; the architecture is written into the folder."""
    cfg.model.backbone.update(arch=write_arch(folder / 'arch'), init_cfg=None)
    cfg.model.test_cfg.get('rcnn', cfg.model.test_cfg).score_thr = 0.0  # a few batches make no network sure of a box
    if 'roi_head' not in cfg.model:
        cfg.model.neck.update(in_channels=WITH_MAPS, out_channels=8)
        cfg.model.bbox_head.update(in_channels=8, feat_channels=8, stacked_convs=1)
        return cfg
    finer, fpn = cfg.model.neck
    finer.in_channels, fpn.in_channels, fpn.out_channels = WITH_MAPS, [4, *WITH_MAPS], 8
    cfg.model.rpn_head.update(in_channels=8, feat_channels=8)
    for extractor in (cfg.model.roi_head.bbox_roi_extractor, cfg.model.roi_head.mask_roi_extractor):
        extractor.out_channels = 8
    cfg.model.roi_head.bbox_head.update(in_channels=8, fc_out_channels=16)
    cfg.model.roi_head.mask_head.update(in_channels=8, conv_out_channels=8, num_convs=1)
    return cfg


def write_scenes(folder: Path, num_train: int = 6, num_val: int = 5) -> Path:
    """Write scenes of 64 x 96 pixels."""
    write_dataset(folder / 'toy', DatasetSpec(num_train, num_val, (64, 96), seed=2, formats=('coco',)))
    return folder / 'toy' / 'coco'


def use_scenes(cfg: Config, root: Path) -> Config:
    """Point a toy config to scenes, which are not resized."""
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(root)
        for transform in dataset.pipeline:
            if transform.type in ('Resize', 'RandomResize'):
                transform.scale = (96, 64)
            elif transform.type == 'RandomCrop':
                transform.crop_size = (64, 96)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(root / 'annotations/instances_val.json')
    return cfg


def write_config(config: Path, folder: Path) -> str:
    """Write a toy config at tiny width, and its scenes."""
    cfg = use_scenes(shrink(Config.fromfile(config), folder), write_scenes(folder))
    cfg.train_dataloader.batch_size = 2
    cfg.dump(folder / 'detector.py')
    return str(folder / 'detector.py')


def write_checkpoint(config: str, path: Path) -> str:
    """Write a checkpoint of a config's model, with random weights."""
    torch.manual_seed(0)
    cfg = Config.fromfile(config)
    init_default_scope('mmdet')
    meta = dict(dataset_meta=dict(classes=cfg.metainfo.classes))
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=meta), path)
    return str(path)
