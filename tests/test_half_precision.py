import copy

import pytest
import torch
from diffusers.models.attention_processor import Attention
from measuring.peak import PeakMemory
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmdiffperc.half_precision import autocast_for, halve, in_own_precision
from mmdiffperc.models import DiffusionUNet


@pytest.fixture(scope='module')
def backbone():
    """With pre-trained weights, because random ones say little about the effect of rounding."""
    prompts = dict(type='ClassPrompts', classes=['sphere', 'box', 'cone'], adapter=dict(type='TextAdapter'))
    init_cfg = dict(type='Pretrained', checkpoint='tiny-sd')
    backbone = DiffusionUNet(
        'tiny-sd', prompts=prompts, cross_attention=dict(strides=(16, 32)), out_prompts=True, init_cfg=init_cfg
    )
    backbone.init_weights()
    return backbone.eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, 40, 64) * 2 - 1


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize(('dtype', 'bound'), [('bfloat16', 0.06), ('float16', 0.006)])
def test_halved_backbone(backbone, images, dtype, bound, autocast):
    halved = copy.deepcopy(backbone).halve(dtype)
    assert {weight.dtype for weight in halved.parameters()} == {getattr(torch, dtype)}
    assert not any(weight.requires_grad for weight in halved.parameters())
    used = []
    halved.unet.conv_in.register_forward_hook(lambda module, args, output: used.append((args[0].dtype, output.dtype)))
    norm = next(module for module in halved.unet.modules() if isinstance(module, nn.GroupNorm))
    norm.register_forward_hook(lambda module, args, output: used.append((args[0].dtype, output.dtype)))
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        features = halved(images)
    assert used == [(halved.half_type, halved.half_type)] * 2
    with torch.no_grad():
        for feature, expected in zip(features, backbone(images), strict=True):
            assert feature.dtype == torch.float32
            error = (feature - expected).norm() / expected.norm()
            assert 1e-5 < error < bound


def test_training_is_not_affected_by_a_copy(backbone, images):
    copy.deepcopy(backbone).halve()
    assert backbone.half_type is None and backbone.unet.dtype == torch.float32
    assert any(weight.requires_grad for weight in backbone.parameters())


@pytest.mark.parametrize('own', ['bfloat16', 'float32'])
def test_an_autoencoder_with_its_own_type_keeps_it(arch, own):
    backbone = DiffusionUNet(arch, autoencoder_dtype=own)
    before = {name: weight.clone() for name, weight in backbone.autoencoder.state_dict().items()}
    backbone.halve('float16')
    for name, weight in backbone.autoencoder.state_dict().items():
        assert weight.dtype == getattr(torch, own) and torch.equal(weight, before[name])
    assert backbone.unet.dtype == torch.float16


def test_maps_are_the_softmax_in_single_precision(arch, images, monkeypatch):
    types = []

    def softmax(self, dim):
        types.append(self.dtype)
        return torch.softmax(self, dim)

    backbone = DiffusionUNet(arch, prompts=dict(type='MetaPrompts', num_prompts=5), cross_attention=dict(strides=(16,)))
    monkeypatch.setattr(torch.Tensor, 'softmax', softmax)  # of Attention.get_attention_scores
    assert Attention.get_attention_scores
    with torch.no_grad():
        maps = backbone.halve()(images)[1][:, -5:]
    assert types and set(types) == {torch.float32}
    torch.testing.assert_close(maps.sum(1), torch.ones(2, 3, 4), atol=0.02, rtol=0)


@pytest.fixture
def segmentor(tiny_vpd):
    cfg = Config.fromfile(tiny_vpd)
    init_default_scope('mmseg')
    cfg.model.decode_head.norm_cfg = dict(type='BN', requires_grad=True)
    model = MODELS.build(cfg.model)
    nn.init.normal_(model.decode_head.conv_seg.weight)
    return halve(model)


@pytest.mark.parametrize('frozen', [True, False])
def test_autocast_keeps_no_copies_of_frozen_weights(segmentor, images, frozen):
    """It keeps those of weights that require a gradient until its end."""
    assert not segmentor.training and not any(weight.requires_grad for weight in segmentor.parameters())
    segmentor.neck.requires_grad_(not frozen)
    kernels = sum(weight.numel() for weight in segmentor.neck.parameters() if weight.dim() == 4)
    with torch.no_grad(), PeakMemory() as memory, autocast_for(torch.device('cpu'), torch.bfloat16):
        segmentor(images)
        assert (memory.held >= 2 * kernels) != frozen


def test_norms_keep_their_statistics_and_logits_are_single(segmentor, images):
    norms = [module for module in segmentor.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and {norm.running_var.dtype for norm in norms} == {torch.float32}
    used = []
    segmentor.neck.lateral_convs[0].conv.register_forward_hook(lambda module, args, out: used.append(out.dtype))
    with torch.no_grad(), autocast_for(torch.device('cpu'), torch.bfloat16):
        logits = segmentor(images, mode='tensor')
    assert used == [torch.bfloat16] and logits.dtype == torch.float32


def test_single_precision_is_no_autocast():
    with autocast_for(torch.device('cpu'), torch.float32):
        assert not torch.is_autocast_enabled('cpu')


def test_inputs_with_a_condition():
    class Doubling(nn.Module):
        """Takes images and something else, and doubles the images."""

        half_type = torch.bfloat16

        @in_own_precision
        def forward(self, inputs):
            """Double the images."""
            assert not torch.is_autocast_enabled('cpu')
            return (inputs[0].to(self.half_type) * 2,)

    with torch.autocast('cpu', torch.bfloat16):
        (doubled,) = Doubling()((torch.ones(2, 3), 'condition'))
    assert doubled.dtype == torch.float32 and doubled.tolist() == [[2.0] * 3] * 2
