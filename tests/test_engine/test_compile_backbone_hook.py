from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from mmdiffperc.engine import CompileBackboneHook, CompileBlocksHook
from mmdiffperc.models import DiffusionUNet


class Segmentor(nn.Module):
    def __init__(self, arch):
        super().__init__()
        self.backbone = DiffusionUNet(arch, prompts=dict(type='MetaPrompts', num_prompts=5))

    def forward(self, images):
        return sum(feature.square().mean() for feature in self.backbone(images))


def gradients(model, images):
    model.zero_grad()
    model(images).backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def test_training_with_one_graph(archs):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend('aot_eager')
    model, images = Segmentor(archs['two levels']).train(), torch.rand(2, 3, 16, 24)
    expected, names = gradients(model, images), [*model.state_dict()]
    hook = HOOKS.build(dict(type='CompileBackboneHook', backend='aot_eager'))
    hook.options['backend'] = counter
    hook.before_run(SimpleNamespace(model=model))
    for name, gradient in gradients(model, images).items():
        torch.testing.assert_close(gradient, expected.pop(name), msg=name)
    assert not expected and counter.frame_count == 1 and [*model.state_dict()] == names
    torch._dynamo.reset()


def test_a_model_without_the_backbone():
    with pytest.raises(ValueError, match='Linear has no DiffusionUNet'):
        CompileBackboneHook().before_run(SimpleNamespace(model=nn.Linear(2, 3)))


def test_cuda_graphs_are_for_the_whole_backbone():
    assert CompileBackboneHook(mode='reduce-overhead').options['mode'] == 'reduce-overhead'
    with pytest.raises(ValueError, match='reduce-overhead'):
        CompileBlocksHook(mode='reduce-overhead')
