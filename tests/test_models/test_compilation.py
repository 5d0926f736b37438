import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.compilation import BLOCKS, FORMS, compile_blocks

IMAGES = (2, 3, 16, 24)
MAPS = dict(prompts=dict(type='ClassPrompts', classes=['a', 'b', 'c']), cross_attention=dict(strides=(2,)))


@pytest.fixture
def counter():
    """A backend that counts its graphs."""
    torch._dynamo.reset()
    yield CompileCounter()
    torch._dynamo.reset()


def build(archs, **options):
    torch.manual_seed(0)
    return DiffusionUNet(archs['two levels'], **options)


def gradients(backbone, images):
    backbone.zero_grad()
    sum(feature.square().mean() for feature in backbone(images)).backward()
    return {name: weight.grad for name, weight in backbone.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize('options', [MAPS, dict(taps=['up_blocks.1.attentions.0.transformer_blocks.0.norm2'])])
def test_results_and_gradients_are_those_of_the_model(archs, counter, options):
    backbone, images = build(archs, **options).train(), torch.rand(IMAGES)
    plain = copy.deepcopy(backbone)
    number = backbone.compile_blocks(backend=counter, fullgraph=True)
    assert number == sum(isinstance(module, BLOCKS) for module in backbone.modules()) > 10
    for feature, expected in zip(backbone(images), plain(images), strict=True):
        torch.testing.assert_close(feature, expected)
    expected = gradients(plain, images)
    for name, gradient in gradients(backbone, images).items():
        torch.testing.assert_close(gradient, expected.pop(name), msg=name)
    assert not expected and counter.frame_count > 0
    assert backbone.state_dict().keys() == plain.state_dict().keys()


def test_more_forms_than_the_limit_of_pytorch(archs, counter):
    backbone = build(archs).eval()
    assert compile_blocks(backbone, backend=counter, fullgraph=True, dynamic=False) > 8
    with torch.no_grad():
        backbone(torch.rand(IMAGES))
        first = counter.frame_count
        assert first > 8
        backbone(torch.rand(IMAGES))
        assert counter.frame_count == first
    assert torch._dynamo.config.cache_size_limit >= FORMS


def test_a_copy_is_not_compiled(archs, counter):
    backbone = build(archs).eval()
    backbone.compile_blocks(backend=counter)
    other = copy.deepcopy(backbone)
    with torch.no_grad():
        other(torch.rand(IMAGES))
    assert counter.frame_count == 0


def test_nothing_to_compile():
    with pytest.raises(ValueError, match='Sequential'):
        compile_blocks(nn.Sequential(nn.Linear(2, 3)))
