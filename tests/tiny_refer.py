"""The toy config for referring segmentation on a few small scenes; tiny-sd itself, whose words mean something."""

from pathlib import Path

import torch
from mmengine.config import Config

from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

CONFIG = Path(__file__).parents[1] / 'configs/vpd/vpd_tiny-sd-refer_1xb4-1800_toy-refcoco-128x128.py'


def write_config(folder: Path) -> str:
    """Write the config; its scenes are 64 x 96, squashed to 64 x 64."""
    write_dataset(folder / 'toy', DatasetSpec(3, 2, (64, 96), seed=2, formats=('refcoco',)))
    cfg = Config.fromfile(CONFIG)
    cfg.model.data_preprocessor.size = (64, 64)
    cfg.model.decode_head.channels = 8
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(folder / 'toy' / 'refcoco')
        next(transform for transform in dataset.pipeline if transform.type == 'Resize').scale = (64, 64)
    cfg.train_dataloader.batch_size = 2
    cfg.dump(folder / 'refer.py')
    return str(folder / 'refer.py')


def write_checkpoint(config: str, path: Path) -> str:
    """Write a checkpoint of its model: the weights of tiny-sd and, where it has none, random ones."""
    from mmengine.registry import MODELS, init_default_scope
    from mmseg.apis import init_model

    model = init_model(config, device='cpu')
    init_default_scope('mmseg')
    backbone = MODELS.build(Config.fromfile(config).model.backbone)
    backbone.init_weights()
    model.backbone.load_state_dict(backbone.state_dict())
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta={})), path)
    return str(path)
