"""A classifier that says which nouns, and which pairs of colour and noun, an image of a toy scene shows.

``score_tiny_sd.py`` trains it and applies it to samples.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from mmdiffperc.toy_scenes import OBJECT_COLOURS, render, sample_scene
from mmdiffperc.toy_scenes.render import Rendering
from mmdiffperc.toy_scenes.vocabulary import OBJECT_CLASSES

NOUNS = (*OBJECT_CLASSES, 'figure')
COLOURS = tuple(OBJECT_COLOURS)
SIZE = 128  # pixels
CELL = 8  # pixels a side of the squares for which the network predicts what they show
ANY = 0  # index of "any colour"; the other indices are 1 + the index of a colour
BATCH_SIZE = 32
PEAK_LR = 4e-3


@dataclass(frozen=True)
class Scenes:
    """Rendered scenes and what they show.

    Args:
        images (Tensor): RGB ``(N, 3, SIZE, SIZE)``, uint8.
        cells (Tensor): Number of pixels per cell that show each noun, and each colour of an object,
            ``(N, nouns + colours, h, w)``, uint8.
        shown (Tensor): Presence ``(N, nouns, 1 + colours)`` of each noun in any colour and in each colour, bool.
    """

    images: Tensor
    cells: Tensor
    shown: Tensor

    def __getitem__(self, chosen: slice) -> 'Scenes':
        return Scenes(self.images[chosen], self.cells[chosen], self.shown[chosen])


def render_scenes(number: int, seed: int) -> Scenes:
    """Render scenes of domain a, numbered from 0."""
    renderings = (render(sample_scene([seed, index]), SIZE) for index in range(number))
    rows = [
        (rendering.image.transpose(2, 0, 1), count_pixels(rendering), shown_in(rendering))
        for rendering in tqdm(renderings, desc='scenes', total=number)
    ]
    return Scenes(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))


def shown_in(rendering: Rendering) -> np.ndarray:
    """Return the presence ``(nouns, 1 + colours)`` of each noun in any colour and in each colour."""
    shown = np.zeros((len(NOUNS), 1 + len(COLOURS)), bool)
    for instance in rendering.instances:
        shown[NOUNS.index(instance.class_name), [ANY, 1 + COLOURS.index(instance.colour)]] = True
    return shown


def count_pixels(rendering: Rendering) -> np.ndarray:
    """Count the pixels ``(nouns + colours, h, w)`` per cell that show each noun, and each colour of an object."""
    pixels = np.zeros((len(NOUNS) + len(COLOURS), *rendering.instance_map.shape), np.uint8)
    for instance in rendering.instances:
        visible = rendering.instance_map == instance.index + 1
        pixels[[NOUNS.index(instance.class_name), len(NOUNS) + COLOURS.index(instance.colour)]] += visible
    channels, height, width = pixels.shape
    return pixels.reshape(channels, height // CELL, CELL, width // CELL, CELL).sum(axis=(2, 4), dtype=np.uint8)


class SceneClassifier(nn.Module):
    """A CNN that predicts for each cell whether it shows an object, and the noun and the colour of this object.

    Learning from cells takes fewer scenes than learning from the nouns and pairs of whole images.

    Args:
        width (int): Channels at stride 2.
    """

    def __init__(self, width: int = 24):
        super().__init__()
        self.fine = nn.Sequential(
            conv(3, width, stride=2),
            conv(width, 2 * width, stride=2),
            conv(2 * width, 2 * width),
            conv(2 * width, 4 * width, stride=2),
            conv(4 * width, 4 * width),
        )
        self.coarse = nn.Sequential(
            conv(4 * width, 6 * width, stride=2),
            conv(6 * width, 6 * width),
            conv(6 * width, 6 * width),
            nn.Conv2d(6 * width, 4 * width, 1),
            nn.Upsample(scale_factor=2, mode='bilinear'),
        )
        self.head = nn.Sequential(conv(4 * width, 4 * width), nn.Conv2d(4 * width, 1 + len(NOUNS) + len(COLOURS), 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the logits of an object ``(B, 1, h, w)``, its nouns and its colours.

        Args:
            images (Tensor): RGB ``(B, 3, H, W)``, uint8.
        """
        fine = self.fine(images.float() / 127.5 - 1)
        return self.head(fine + self.coarse(fine)).float().split([1, len(NOUNS), len(COLOURS)], dim=1)

    def loss(self, images: Tensor, cells: Tensor) -> Tensor:
        """Return the cross-entropy of objects, plus those of nouns and colours where there is an object."""
        is_object, *logits = self(images)
        shares = (cells.float() / CELL**2).split([len(NOUNS), len(COLOURS)], dim=1)
        objects = shares[0].sum(dim=1, keepdim=True)
        given_object = [F.cross_entropy(*pair, reduction='sum') for pair in zip(logits, shares, strict=True)]
        return F.binary_cross_entropy_with_logits(is_object, objects) + sum(given_object) / objects.sum()

    @torch.no_grad()
    def scores(self, images: Tensor) -> np.ndarray:
        """Return the highest probability in a cell of each noun, alone and per colour, ``(N, nouns, 1 + colours)``."""
        scores = []
        for batch in images.split(64):
            is_object, nouns, colours = self(batch)
            nouns, colours = is_object.sigmoid() * nouns.softmax(dim=1), colours.softmax(dim=1)
            colours = torch.cat([torch.ones_like(is_object), colours], dim=1)
            scores.append(torch.einsum('bnhw,bchw->bnchw', nouns, colours).amax(dim=(3, 4)))
        return torch.cat(scores).numpy()


def conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def train_classifier(scenes: Scenes, steps: int) -> SceneClassifier:
    """Train a classifier, with mirrored images as the only augmentation."""
    torch.manual_seed(0)
    model = SceneClassifier().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps, pct_start=0.1)
    for _ in tqdm(range(steps), desc='classifier'):
        chosen = torch.randint(len(scenes.images), (BATCH_SIZE,))
        images, cells = scenes.images[chosen], scenes.cells[chosen]
        if torch.rand(()) < 0.5:
            images, cells = images.flip(-1), cells.flip(-1)
        with torch.autocast('cpu', torch.bfloat16):  # twice as fast on a CPU that computes in bfloat16
            loss = model.loss(images.to(memory_format=torch.channels_last), cells)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def balanced_thresholds(scores: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Choose the score ``(nouns, 1 + colours)`` from which a noun, or a pair, counts as found.

    Each threshold balances the errors: misses are as frequent among images with the noun as false positives are among
    the others. A noun has one threshold, and its pairs with all colours share another, because a single pair is rare.
    """
    thresholds, decisive = np.empty(scores.shape[1:]), is_decisive(shown)
    for noun in range(len(thresholds)):
        for colours in (slice(ANY, ANY + 1), slice(ANY + 1, None)):
            chosen = decisive[:, noun, colours]
            column = scores[:, noun, colours][chosen], shown[:, noun, colours][chosen]
            thresholds[noun, colours] = balanced_threshold(*column)
    return thresholds


def find(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return what counts as found ``(N, nouns, 1 + colours)``, bool. A pair counts only if its noun does."""
    found = scores >= thresholds
    return found & found[:, :, [ANY]]


def is_decisive(shown: np.ndarray) -> np.ndarray:
    """Mark nouns, and pairs in images that show their colour: elsewhere, the colour alone rules them out."""
    return np.broadcast_to(shown.any(axis=1, keepdims=True), shown.shape)


def balanced_threshold(scores: np.ndarray, shown: np.ndarray) -> float:
    """Return the score at which the rates of misses and of false positives are most similar."""
    order = np.argsort(-scores)
    shown = shown[order]
    recall, false_positives = (np.cumsum(one) / max(one.sum(), 1) for one in (shown, ~shown))
    return float(scores[order][np.abs(1 - recall - false_positives).argmin()])


def error_rates(found: np.ndarray, shown: np.ndarray) -> dict[str, dict[str, float]]:
    """Return the accuracy, the recall and the rate of false positives for nouns, for pairs, and for each noun.

    Pairs count in images that show their colour; see :func:`is_decisive`.
    """
    selections = dict(nouns=np.s_[:, :, ANY], pairs=np.s_[:, :, ANY + 1 :])
    selections |= {noun: np.s_[:, index, ANY] for index, noun in enumerate(NOUNS)}
    rates, decisive = {}, is_decisive(shown)
    for name, selection in selections.items():
        chosen = decisive[selection]
        right, present = (found == shown)[selection][chosen], shown[selection][chosen]
        rates[name] = {
            'accuracy': float(right.mean()),
            'recall': float((right & present).sum() / max(present.sum(), 1)),
            'false positives': float((~right & ~present).sum() / max((~present).sum(), 1)),
        }
    return rates
