"""Images, and what is given with them, in another form than a model works on."""

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

from mmdiffperc.generative import DeterministicDiffusion
from mmdiffperc.inference.image_files import read_image
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers import LatentAutoencoder
from mmdiffperc.models.layers.image_check import ImageCheck

from .case import Case
from .settings import tiny_arch

GOOD = torch.zeros(1, 3, 16, 24)
NAN = float('nan')


def _with(value: float) -> torch.Tensor:
    images = GOOD.clone()
    images[0, 1, 2, 3] = value
    return images


TENSORS = {
    'one channel': torch.zeros(1, 1, 16, 24),
    'RGBA': torch.zeros(1, 4, 16, 24),
    'channels last': torch.zeros(1, 16, 24, 3),
    'no batch': torch.zeros(3, 16, 24),
    'a video': torch.zeros(1, 3, 2, 16, 24),
    'a matrix': torch.zeros(16, 24),
    'a number': torch.tensor(0.0),
    'an empty batch': torch.zeros(0, 3, 16, 24),
    'no rows': torch.zeros(1, 3, 0, 24),
    'no columns': torch.zeros(1, 3, 16, 0),
    'bytes': GOOD.byte(),
    'integers': GOOD.long(),
    'booleans': GOOD.bool(),
    'double precision': GOOD.double(),
    'half precision': GOOD.half(),
    'bfloat16': GOOD.bfloat16(),
    'complex': GOOD.to(torch.complex64),
    'one NaN': _with(NAN),
    'infinity': _with(float('inf')),
    'negative infinity': _with(-float('inf')),
    'pixels of 0 to 255': _with(255.0),
    "ImageNet's normalisation": _with(2.6),
    'huge values': _with(1e30),
    'a list': [GOOD],
    'None': None,
    'NumPy': GOOD.numpy(),
    'text': 'a.png',
    'a dict': dict(img=GOOD),
}
TUPLES = {
    'an empty tuple': (),
    'a tuple of three': (GOOD, 1, 2),
    'a tuple of nothing': (None, None),
    'the condition first': ([0], GOOD),
    'a condition that the prompts do not take': (GOOD, torch.tensor([0])),
}
ARRAYS = {
    'grey': np.zeros((16, 24), np.uint8),
    'one channel': np.zeros((16, 24, 1), np.uint8),
    'RGBA': np.zeros((16, 24, 4), np.uint8),
    'channels first': np.zeros((3, 16, 24), np.uint8),
    'a batch': np.zeros((1, 16, 24, 3), np.uint8),
    'no rows': np.zeros((0, 24, 3), np.uint8),
    'floats': np.zeros((16, 24, 3)),
    '16 bits': np.zeros((16, 24, 3), np.uint16),
    'signed': np.zeros((16, 24, 3), np.int8),
    'booleans': np.zeros((16, 24, 3), bool),
    'objects': np.full((16, 24, 3), None),
    'text': np.full((16, 24, 3), 'a'),
    'a list': [[[0, 0, 0]]],
    'None': None,
    'a number': 5,
    'bytes': b'\x89PNG',
    'a tensor': torch.zeros(16, 24, 3, dtype=torch.uint8),
}
# What the generator converts to the type of its weights.
CONVERTED = ('double precision', 'half precision', 'bfloat16')
CAPTIONS = {
    'no captions': None,
    'one caption as text': 'a room',
    'too many captions': ['a room', 'a hall'],
    'no caption': [],
    'an empty caption': [' '],
    'a caption of another script': ['赤い球'],
    'a number as caption': [5],
    'a list as caption': [['a room']],
}


def _sample(target: torch.Tensor | None = None) -> BaseDataElement:
    sample = BaseDataElement(metainfo=dict(img_path='a.png', text='a room'))
    if target is not None:
        sample.gt_target = PixelData(data=target)
    return sample


TARGET = torch.zeros(3, 16, 24)
SAMPLES = {
    'no data samples': None,
    'an empty list of data samples': [],
    'too many data samples': [_sample(TARGET), _sample(TARGET)],
    'a data sample without a target': [_sample()],
    'a target of another size': [_sample(torch.zeros(3, 24, 16))],
    'a target of one channel': [_sample(TARGET[:1])],
    'a target of integers': [_sample(TARGET.long())],
}


def cases() -> Iterator[Case]:
    """Of the backbone, the autoencoder, the generator, and a user's image."""
    for title, images in TENSORS.items():
        for kind in (DiffusionUNet, LatentAutoencoder, DeterministicDiffusion):
            if not (kind is DeterministicDiffusion and title in CONVERTED):
                yield Case(kind.__name__, title, partial(_encode, kind, images), ('images', 'inputs'))
    for title, inputs in TUPLES.items():
        yield Case('DiffusionUNet', title, partial(_encode, DiffusionUNet, inputs), ('images', 'inputs', 'condition'))
    for title, image in ARRAYS.items():
        yield Case('read_image', title, partial(read_image, image), ('image',))
    for title, samples in SAMPLES.items():
        yield Case('DeterministicDiffusion', title, partial(_lose, samples), ('target', 'data sample'))
    for title, captions in CAPTIONS.items():
        yield Case('DeterministicDiffusion', title, partial(_estimate, captions), ('caption', 'entence', 'Latin'))


def _encode(kind: type, images: object):
    model = _model(kind)
    with torch.no_grad():
        return model.encode(images) if kind is LatentAutoencoder else model(images)


def _lose(samples: list | None):
    return _model(DeterministicDiffusion)(GOOD, samples, mode='loss')


def _estimate(captions: object):
    return _model(DeterministicDiffusion, use_prompts=True).estimate(GOOD, captions)


def _model(kind: type, use_prompts: bool = False) -> nn.Module:
    """A model that has seen no images."""
    model = _models()[kind]
    model.use_prompts = use_prompts
    getattr(model, 'autoencoder', model).check_images = ImageCheck()
    return model


@cache
def _models() -> dict[type, nn.Module]:
    arch = tiny_arch()
    generator = DeterministicDiffusion('tiny-sd', use_prompts=False, num_steps=1, lora=None)
    generator.text_encoder.note_weights()  # as if it had some
    return {
        DiffusionUNet: DiffusionUNet(arch, prompts=dict(type='ClassPrompts', classes=['a', 'b'])).eval(),
        LatentAutoencoder: LatentAutoencoder(arch),
        DeterministicDiffusion: generator,
    }
