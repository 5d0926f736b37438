import torch
from torch import nn

from mmdiffperc.export import Input, Part
from mmdiffperc.export.part import IMAGE, whole_numbers


def test_examples_and_dynamic_axes():
    inputs = dict(
        image=IMAGE,
        latents=Input(('batch', 4, 'latent_height', 'latent_width'), ''),
        ids=Input(('batch', 50), '', whole_numbers(-1, 2)),
    )
    part = Part(nn.Identity(), inputs, dict(output=''), stride=8, fixed=('batch',))
    image, latents, ids = part.examples(2, (20, 32))
    assert image.shape == (2, 3, 20, 32) and image.min() < 0 and image.abs().max() <= 1
    assert latents.shape == (2, 4, 3, 4)  # of 24 x 32 pixels
    assert ids.shape == (2, 50) and ids.dtype == torch.int64 and set(ids.unique().tolist()) == {-1, 0, 1}
    assert part.dynamic_axes() == ({2: 'height', 3: 'width'}, {2: 'latent_height', 3: 'latent_width'}, {})
