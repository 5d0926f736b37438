"""Random batches for the model of a stock config, in the form of its host's data loader."""

from collections.abc import Iterator

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import TRANSFORMS


def make_batch(cfg: Config, host: str, size: tuple[int, int], training: bool) -> dict:
    """Make a batch of two images for training, or of one image for prediction.

    Args:
        cfg (Config): The config.
        host (str): ``'mmseg'``, ``'mmdet'`` or ``'mmpose'``.
        size (tuple[int]): Height and width of the images. mmpose's pipeline resizes them for its codec.
        training (bool): Whether the batch is for training.

    Returns:
        dict: ``inputs`` and ``data_samples`` for the data preprocessor of the model.
    """
    number = 2 if training else 1  # batch norm needs two images, and some heads of mmpose predict one image at a time
    make = dict(mmseg=_segmentation, mmdet=_detection, mmpose=_pose)[host]
    return make(cfg, size, number)


def _segmentation(cfg, size, number):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    num_classes = min(_numbers_of_classes(cfg.model.decode_head), default=1)
    samples = []
    for _ in range(number):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size, padding_size=[0] * 4))
        sample.gt_sem_seg = PixelData(data=torch.randint(num_classes, (1, *size)))
        sample.gt_depth_map = PixelData(data=1 + torch.rand(1, *size))
        samples.append(sample)
    return dict(inputs=_images(size, number), data_samples=samples)


def _detection(cfg, size, number):
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(number, (3, *size), num_items=[3, 2][:number], with_mask=True, with_semantic=True)


def _pose(cfg, size, number):
    from mmpose.testing import get_coco_sample

    bottom_up = cfg.model.type == 'BottomupPoseEstimator'
    # The pipeline of the config generates the targets, so they fit its codec.
    loader = cfg.val_dataloader if number == 1 else cfg.train_dataloader
    steps = loader.dataset.get('pipeline') or _bottom_up_pipeline(cfg)
    known = [step for step in steps if callable(step) or step['type'] != 'Albumentation']
    pipeline = Compose([step if callable(step) else TRANSFORMS.build(step) for step in known])
    samples = [get_coco_sample(size, with_img_mask=bottom_up) for _ in range(number)]
    return pseudo_collate([pipeline(dict(sample, bbox_score=np.ones(1, np.float32))) for sample in samples])


def _bottom_up_pipeline(cfg):
    """Return the pipeline of DEKR for associative embedding, which has no pipeline in mmpose 1.3.2."""
    return [
        dict(type='BottomupRandomAffine', input_size=cfg.codec.input_size),
        dict(type='GenerateTarget', encoder=cfg.codec),
        dict(type='BottomupGetHeatmapMask'),
        _hand_on_indices,
        dict(type='PackPoseInputs'),
    ]


def _hand_on_indices(results: dict) -> dict:
    labels = ('keypoint_indices', 'keypoint_weights')
    return dict(results, label_mapping_table={name: name for name in labels})


def _images(size, number):
    return list(torch.from_numpy(np.random.randint(0, 256, (number, 3, *size), dtype=np.uint8)))


def _numbers_of_classes(part) -> Iterator[int]:
    """Yield the numbers of classes in a head and its parts."""
    if isinstance(part, (list, tuple)):
        for inner in part:
            yield from _numbers_of_classes(inner)
    elif isinstance(part, dict):
        if 'num_classes' in part:
            yield part['num_classes']
        for inner in part.values():
            yield from _numbers_of_classes(inner)
