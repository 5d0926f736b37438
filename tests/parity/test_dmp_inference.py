"""The official call of DMP for an image of one's own: any size in, the same size out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdiffperc.generative import TargetCodec, TargetInferencer
from mmdiffperc.generative.target_inferencer import to_picture

from .test_dmp_network import ARCH, FOLDER, base, model, recorded  # noqa: F401  (fixtures)

# That of the recording: other kernels of attention alone cost 5.5e-5.
TOLERANCE = 1e-4


@pytest.fixture(scope='module', params=['all'])
def kind(request):
    return request.param


@pytest.fixture(scope='module')
def inferencer(model, tmp_path_factory) -> TargetInferencer:  # noqa: F811
    path = Path(tmp_path_factory.mktemp('inference')) / 'model.pth'
    torch.save(model.state_dict(), path)
    config = dict(type='DeterministicDiffusion', arch=ARCH, target_mode='F', use_prompts=False, num_steps=2)
    return TargetInferencer(Config(dict(model=config)), path, size=512, device='cpu')


def test_own_image(recorded, inferencer):  # noqa: F811
    """Recorded with antialiasing of tensors, which torchvision has by default today."""
    depth = inferencer(recorded['call/input_u8'][..., ::-1])['predictions'][0]['target']
    np.testing.assert_allclose(depth, recorded['call/F_antialias1'], rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_own_image_in_colours(recorded, inferencer, monkeypatch):  # noqa: F811
    """Recorded without antialiasing; rounded before it was resized, of which each time a level may come."""
    image = recorded['call/input_u8'][..., ::-1]
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    pixels = torch.nn.functional.interpolate(pixels, (512, 768), mode='bicubic')
    inputs = inferencer.model.data_preprocessor(dict(inputs=list(pixels)))['inputs']
    monkeypatch.setattr(inferencer.model, 'codec', TargetCodec())
    colours = inferencer._restore(inferencer.model.estimate(inputs)[0], image)
    seen = to_picture(colours, inferencer.model.codec).astype(int)
    np.testing.assert_allclose(seen, recorded['call/RGB'], rtol=0, atol=3)


@pytest.mark.parametrize(('name', 'scale'), [('1', 1.0), ('8', 8.0), ('-1', 'per_image')])
def test_picture_of_one_channel(recorded, name, scale):  # noqa: F811
    arrays, pictures = (recorded[f'decode/F/scale{name}/{kind}'] for kind in ('arr', 'preview_u16'))
    for array, picture in zip(arrays, pictures, strict=True):
        found = to_picture(array, TargetCodec('F', scale))
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, picture)
