"""Gradient checkpointing gives the right gradients, or is refused."""

import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from mmdiffperc.generative import DeterministicDiffusion
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.checkpointing import refuse_reentrant_checkpointing
from mmdiffperc.weights.architectures import build_unet

PROMPTS = dict(type='MetaPrompts', num_prompts=5)
IMAGES = 2, 3, 48, 40


def backbone_of(arch, **options):
    torch.manual_seed(0)
    return DiffusionUNet(arch, prompts=PROMPTS, num_refine_steps=2, learned_timesteps=True, **options).train()


def gradients(backbone, run):
    backbone.zero_grad()
    sum(feature.square().mean() for feature in run(backbone)).backward()
    return {name: weight.grad for name, weight in backbone.named_parameters() if weight.grad is not None}


def reentrant(module, *args):
    return checkpoint(module, *args, use_reentrant=True)


def test_a_model_with_checkpointing_can_be_pickled(arch):
    images = torch.rand(IMAGES)
    backbone = backbone_of(arch, with_cp=True)
    duplicate = pickle.loads(pickle.dumps(backbone))
    expected = gradients(backbone, lambda backbone: backbone(images))
    for name, gradient in gradients(duplicate, lambda backbone: backbone(images)).items():
        torch.testing.assert_close(gradient, expected.pop(name), msg=name)
    assert not expected


class Reentrant(torch.nn.Module):
    """A wrapper that checkpoints one module."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args):
        return reentrant(self.module, *args)


@pytest.mark.parametrize('maps', [None, dict(strides=(16,), with_grad=True)])
def test_reentrant_checkpointing_of_blocks_is_refused(arch, maps):
    backbone = backbone_of(arch, cross_attention=maps)
    backbone.unet.enable_gradient_checkpointing(reentrant)
    with pytest.raises(RuntimeError, match='use_reentrant=False'):
        backbone(torch.rand(IMAGES))
    with torch.no_grad():
        backbone(torch.rand(IMAGES))


def test_reentrant_checkpointing_of_the_unet_is_refused(arch, monkeypatch):
    backbone = backbone_of(arch)
    forward = backbone.unet.forward
    monkeypatch.setattr(
        backbone.unet, 'forward', lambda *args, **kwargs: reentrant(lambda x: forward(x, *args[1:], **kwargs), args[0])
    )
    with pytest.raises(RuntimeError, match='use_reentrant=False'):
        backbone(torch.rand(IMAGES))


def test_reentrant_checkpointing_around_attention_is_refused(arch):
    """Inside, the maps are cut off from the weights; residual blocks are not affected."""
    backbone = backbone_of(arch, cross_attention=dict(strides=(16,), with_grad=True))
    block = backbone.unet.up_blocks[2].attentions[0].transformer_blocks[0]
    forward = block.forward
    block.forward = lambda hidden_states, **kwargs: reentrant(lambda x: forward(x, **kwargs), hidden_states)
    with pytest.raises(RuntimeError, match='use_reentrant=False'):
        backbone(torch.rand(IMAGES))


@pytest.mark.parametrize('name', ['conv_in', 'time_embedding'])
def test_reentrant_checkpointing_of_an_embedding_is_refused(arch, name):
    """Its weights would get no gradient, because its input needs none."""
    unet = build_unet(arch).train()
    refuse_reentrant_checkpointing(unet)
    part = getattr(unet, name)
    setattr(unet, name, Reentrant(part))
    with pytest.raises(RuntimeError, match='use_reentrant=False'):
        unet(torch.randn(1, 4, 6, 5), 1, torch.randn(1, 3, 12))


@pytest.mark.parametrize('use_reentrant', [True, False])
def test_checkpointing_around_the_whole_backbone(arch, use_reentrant):
    backbone, images = backbone_of(arch, cross_attention=dict(strides=(16,), with_grad=True)), torch.rand(IMAGES)
    expected = gradients(backbone, lambda backbone: backbone(images))
    found = gradients(
        backbone, lambda backbone: checkpoint(backbone, images.requires_grad_(), use_reentrant=use_reentrant)
    )
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected.pop(name), msg=name)
    assert not expected


def test_reentrant_checkpointing_of_an_adapter_is_refused():
    """Its first blocks have inputs without gradients, and their adapters would get none."""
    model = DeterministicDiffusion('tiny-sd', use_prompts=False, lora=dict(r=2)).train()
    model.unet.enable_gradient_checkpointing(reentrant)
    with pytest.raises(RuntimeError, match='use_reentrant=False'):
        model.unet(torch.randn(1, 8, 6, 5), 1, encoder_hidden_states=torch.randn(1, 7, 96))
