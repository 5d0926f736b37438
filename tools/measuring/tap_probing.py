"""Linear classifiers on the features of single places of a U-Net."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from mmdiffperc.evaluation.masks import class_measures, confusion_matrix
from mmdiffperc.files import quoted, read_json
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers import list_taps
from mmdiffperc.progress import progress
from mmdiffperc.toy_scenes import TOY_CLASSES
from mmdiffperc.weights.architectures import build_unet

NOTHING = 255  # label of the pixels that are not counted

STEPS, CELLS, LEARNING_RATE = 1000, 4096, 0.01  # of the classifier: equally many for coarse and fine features

CHUNK = 32  # images at a time in full resolution


def read_scenes(folder: Path, split: str, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the first images of a split ``(N, 3, H, W)``, uint8, and their labels ``(N, H, W)``, of which 255 is none.

    Raises:
        FileNotFoundError: The folder holds no such scenes, or fewer.
    """
    files = sorted((folder / 'images' / split).glob('*.png'))[:number]
    if len(files) < number:
        raise FileNotFoundError(
            f'{folder / "images" / split}: expected {number} images, found {len(files)}. Write toy scenes with '
            'mmdiffperc toy-scenes --formats ade, or ask for fewer images'
        )
    images = np.stack([np.asarray(Image.open(file).convert('RGB')) for file in files])
    labels = np.stack([np.asarray(Image.open(folder / 'annotations' / split / file.name)) for file in files])
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels - np.uint8(1))  # 0, which is none: 255


@torch.no_grad()
def compute_features(backbone: DiffusionUNet, images: torch.Tensor, batch_size: int, device: str) -> list[torch.Tensor]:
    """Return the features of all taps, ``(N, C, h, w)`` each, in half precision."""
    batches = [
        backbone(batch.to(device) / 127.5 - 1) for batch in progress(images.split(batch_size), 'features', 'batch')
    ]
    return [torch.cat([feature.half().cpu() for feature in each]) for each in zip(*batches, strict=True)]


def class_shares(labels: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return the share of each class in each cell, ``(N * h * w, classes)``."""
    shares = []
    for chunk in labels.split(CHUNK):
        one_hot = F.one_hot(chunk.long().clamp(max=len(TOY_CLASSES)), len(TOY_CLASSES) + 1)[..., :-1]
        shares.append(F.adaptive_avg_pool2d(one_hot.permute(0, 3, 1, 2).float(), size))
    return torch.cat(shares).permute(0, 2, 3, 1).flatten(0, 2)


def fit_classifier(features: torch.Tensor, labels: torch.Tensor, seed: int) -> nn.Module:
    """Train a linear classifier of cells, which are standardised, on features ``(N, C, h, w)``."""
    cells = features.permute(0, 2, 3, 1).flatten(0, 2).float()  # (N * h * w, C)
    shares = class_shares(labels, features.shape[2:])
    generator = torch.Generator().manual_seed(seed)
    norm = nn.BatchNorm1d(cells.shape[1], affine=False).eval()
    norm.running_mean, norm.running_var = cells.mean(0), cells.var(0)
    linear = nn.Linear(cells.shape[1], len(TOY_CLASSES))
    nn.init.zeros_(linear.weight), nn.init.zeros_(linear.bias)
    optimizer = torch.optim.Adam(linear.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, STEPS)
    for _ in progress(range(STEPS), 'classifier', 'step'):
        chosen = torch.randint(len(cells), (CELLS,), generator=generator)
        loss = -(shares[chosen] * linear(norm(cells[chosen])).log_softmax(1)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return nn.Sequential(norm, linear)


@torch.no_grad()
def evaluate(classifier: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return accuracies and mIoU, in per cent, of the classifier's logits in the size of the labels."""
    confusion = 0
    for chunk, truth in zip(features.split(CHUNK), labels.split(CHUNK), strict=True):
        cells = chunk.permute(0, 2, 3, 1)  # (N, h, w, C)
        logits = classifier(cells.flatten(0, 2).float()).view(*cells.shape[:3], -1).permute(0, 3, 1, 2)
        pred = F.interpolate(logits, truth.shape[1:], mode='bilinear').argmax(1)
        for one, true in zip(pred, truth.long(), strict=True):
            confusion = confusion + confusion_matrix(one, true, len(TOY_CLASSES), NOTHING)
    return class_measures(confusion)


def blocks_of(arch: str) -> list[str]:
    """Return the names of the U-Net's blocks."""
    with torch.device('meta'):
        return [tap.name for tap in list_taps(build_unet(arch)) if tap.name.count('.') < 2]


def build_backbone(args, taps: Sequence[str], timestep: int) -> DiffusionUNet:
    """Build a frozen backbone with pre-trained weights."""
    init_cfg = dict(type='Pretrained', checkpoint=args.weights)
    options = dict(timestep=timestep, noise=args.noise, noise_seed=args.seed, scale_latents=True, frozen=True)
    backbone = DiffusionUNet(args.arch, taps=taps, init_cfg=init_cfg, **options)
    backbone.init_weights()
    return backbone.eval().to(args.device)


def probe(args, missing: dict[int, list[str]]) -> Iterator[dict[str, dict]]:
    """Yield the results of each timestep, by place and timestep."""
    (images, labels), (val_images, val_labels) = (
        read_scenes(args.input, split, number)
        for split, number in (('training', args.num_train), ('validation', args.num_val))
    )
    for timestep, taps in missing.items():
        torch.manual_seed(args.seed)  # of random noise
        backbone = build_backbone(args, taps, timestep)
        train, val = (compute_features(backbone, each, args.batch_size, args.device) for each in (images, val_images))
        results = {}
        for index, tap in enumerate(taps):
            classifier = fit_classifier(train[index], labels, args.seed)
            place = dict(
                tap=tap, timestep=timestep, stride=backbone.out_strides[index], channels=backbone.out_channels[index]
            )
            results[entry_name(tap, timestep)] = place | evaluate(classifier, val[index], val_labels)
        yield results


def entry_name(tap: str, timestep: int) -> str:
    """Return the name of an entry of the JSON file."""
    return f'{tap} at {timestep}'


def read_results(path: Path, settings: dict) -> dict[str, dict]:
    """Read the results of an earlier run.

    Raises:
        ValueError: It had other settings.
    """
    if not path.exists():
        return {}
    before = read_json(path)
    if different := [name for name, value in settings.items() if before.get('settings', {}).get(name) != value]:
        raise ValueError(f'{path} has results of another {quoted(different)}: choose another --out-file')
    return before['results']
