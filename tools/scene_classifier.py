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
        cells (Tensor): Number of pixels ``(N, 1 + nouns + 1 + colours, h, w)`` per cell that show the room or a noun,
            and of pixels that show the room or a colour, uint8.
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
    """Count the pixels of the nouns and colours in each cell; see :class:`Scenes`."""
    noun, colour = np.zeros((2, 1 + len(rendering.scene.objects)), int)  # of the room, then of the objects
    for index, thing in enumerate(rendering.scene.objects, 1):
        noun[index] = 1 + NOUNS.index(thing.class_name)
        colour[index] = 1 + COLOURS.index(thing.colour)
    shares = [
        np.eye(1 + len(names), dtype=np.uint8)[labels[rendering.instance_map]]
        for names, labels in ((NOUNS, noun), (COLOURS, colour))
    ]
    pixels = np.concatenate(shares, axis=-1)  # (H, W, C)
    height, width, channels = pixels.shape
    cells = pixels.reshape(height // CELL, CELL, width // CELL, CELL, channels)
    return cells.sum(axis=(1, 3), dtype=np.uint8).transpose(2, 0, 1)


class SceneClassifier(nn.Module):
    """A CNN that predicts for each cell which part of it the room and each noun cover, and the same for colours.

    The cells that a noun covers say far more about an image than its presence alone, so a few thousand scenes suffice.

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
        self.head = nn.Sequential(
            conv(4 * width, 4 * width), nn.Conv2d(4 * width, 1 + len(NOUNS) + 1 + len(COLOURS), 1)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Predict logits.

        Args:
            images (Tensor): RGB ``(B, 3, H, W)``, uint8.

        Returns:
            tuple[Tensor, Tensor]: Logits of the room and the nouns ``(B, 1 + nouns, h, w)``, and of the room and the
            colours ``(B, 1 + colours, h, w)``.
        """
        fine = self.fine(images.float() / 127.5 - 1)
        nouns, colours = self.head(fine + self.coarse(fine)).split([1 + len(NOUNS), 1 + len(COLOURS)], dim=1)
        return nouns, colours

    @torch.no_grad()
    def scores(self, images: Tensor) -> np.ndarray:
        """Return the highest probability in a cell of each noun, alone and per colour, ``(N, nouns, 1 + colours)``."""
        found = []
        for batch in images.split(64):
            nouns, colours = (logits.softmax(dim=1) for logits in self(batch))
            colours[:, ANY] = 1  # the room has no colour, so its channel is free
            found.append(torch.einsum('bnhw,bchw->bnchw', nouns[:, 1:], colours).amax(dim=(3, 4)))
        return torch.cat(found).numpy()


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
        shares = (cells.float() / CELL**2).split([1 + len(NOUNS), 1 + len(COLOURS)], dim=1)
        with torch.autocast('cpu', torch.bfloat16):  # twice as fast where the CPU computes in bfloat16
            logits = model(images.to(memory_format=torch.channels_last))
        loss = sum(F.cross_entropy(logit.float(), share) for logit, share in zip(logits, shares, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def balanced_thresholds(scores: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Choose the score ``(nouns, 1 + colours)`` from which a noun, or a pair, counts as found.

    Each threshold maximises the recall minus the rate of false positives; how common a noun is does not matter. A noun
    has one threshold, and its pairs with all colours share another, because a single pair is rare.
    """
    thresholds, decisive = np.empty(scores.shape[1:]), is_decisive(shown)
    for noun in range(len(thresholds)):
        for colours in (slice(ANY, ANY + 1), slice(ANY + 1, None)):
            chosen = decisive[:, noun, colours]
            column = scores[:, noun, colours][chosen], shown[:, noun, colours][chosen]
            thresholds[noun, colours] = balanced_threshold(*column)
    return thresholds


def is_decisive(shown: np.ndarray) -> np.ndarray:
    """Mark nouns, and pairs in images that show their colour: elsewhere, the colour alone rules them out."""
    return np.broadcast_to(shown.any(axis=1, keepdims=True), shown.shape)


def balanced_threshold(scores: np.ndarray, shown: np.ndarray) -> float:
    """Return the score that maximises the recall minus the rate of false positives."""
    order = np.argsort(-scores)
    shown = shown[order]
    gain = np.cumsum(shown / max(shown.sum(), 1) - ~shown / max((~shown).sum(), 1))
    return float(scores[order][gain.argmax()])


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
