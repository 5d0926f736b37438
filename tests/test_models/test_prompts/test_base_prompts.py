import inspect
import textwrap

import pytest
import torch
from mmengine.registry import MODELS

from mmdiffperc.models import BasePrompts, ClassPrompts, DiffusionUNet, MetaPrompts, ScenePrompts, TextPrompts
from mmdiffperc.models.prompts.base_prompts import split_inputs

IMAGES = torch.rand(2, 3, 5, 7) * 2 - 1
CLASSES, LEARNED = ClassPrompts(['sky', 'sea'], embed_dims=8), MetaPrompts(2, embed_dims=8)
SCENES = ScenePrompts(['kitchen'], embed_dims=8)


@pytest.fixture
def random_prompts():
    """The class in the documentation."""
    example = inspect.getdoc(BasePrompts).partition('::\n')[2].partition('\nThe backbone')[0]
    names = dict(MODELS=MODELS, BasePrompts=BasePrompts, torch=torch)
    exec(textwrap.dedent(example), names)
    yield names['RandomPrompts']
    del MODELS.module_dict['RandomPrompts']


def test_the_example(random_prompts, arch):
    prompts = dict(type='RandomPrompts')
    backbone = DiffusionUNet(arch, prompts=prompts, cross_attention=dict(strides=(16,)), out_prompts=True)
    backbone.init_weights()
    *features, embeds = backbone(torch.zeros(2, 3, 64, 64))
    assert torch.equal(embeds, backbone.prompts.embeddings.expand(2, 4, 12))
    assert backbone.out_channels == (8, 16 + 4, 24, 40) and not backbone.class_embed_select


def test_the_backbone_fills_in_what_the_class_takes(arch):
    @MODELS.register_module(force=True)
    class Received(BasePrompts):
        num_prompts = 1

        def __init__(self, num_refine_steps, arch):
            super().__init__()
            self.received = num_refine_steps, arch

    prompts = DiffusionUNet(arch, num_refine_steps=3, prompts=dict(type='Received')).prompts
    assert prompts.received == (3, arch)
    with pytest.raises(ValueError, match=r'Received.*num_refine_steps=2.*\b3\b'):
        DiffusionUNet(arch, num_refine_steps=3, prompts=dict(type='Received', num_refine_steps=2))


def test_sdxl_needs_pooled_embeddings(random_prompts, archs):
    with pytest.raises(ValueError, match="'RandomPrompts'.*14.*embed_pooled"):
        DiffusionUNet(archs['sdxl'], prompts=dict(type='RandomPrompts'))


@pytest.mark.parametrize(
    'prompts', [dict(type='ClassPrompts', classes=['sky']), dict(type='MetaPrompts', num_prompts=2)]
)
def test_only_sdxl_takes_pooled_embeddings(arch, prompts):
    with pytest.raises(ValueError, match="pooled='empty'.*sdxl"):
        DiffusionUNet(arch, prompts=dict(prompts, pooled='empty'))


@pytest.mark.parametrize('kind', ['Identity', 'NoSuchPrompts', torch.nn.Identity])
def test_another_class(arch, kind):
    with pytest.raises(ValueError, match=r'prompts\.type=.*(Identity|NoSuchPrompts).*BasePrompts'):
        DiffusionUNet(arch, prompts=dict(type=kind))


def test_what_the_kinds_tell():
    assert (CLASSES.condition, LEARNED.condition, SCENES.condition) == (None, None, 'category ids')
    assert TextPrompts.condition == 'sentences'
    assert CLASSES.class_names == ('sky', 'sea') and CLASSES.needs_text_encoder
    assert not ClassPrompts([''], embed_dims=8).class_names
    assert not SCENES.class_names and not LEARNED.class_names and not TextPrompts.class_names
    assert TextPrompts.needs_text_encoder and not LEARNED.needs_text_encoder
    assert not ClassPrompts(['sky'], embed_dims=8, embeddings='sky.pth').needs_text_encoder


def test_inputs_are_images_and_at_most_one_condition():
    assert split_inputs(IMAGES, SCENES) == (IMAGES, None)
    assert split_inputs((IMAGES,), CLASSES) == (IMAGES, None)
    assert split_inputs((IMAGES, 'ids'), SCENES) == (IMAGES, 'ids')
    assert split_inputs((), SCENES) == ((), None)
    with pytest.raises(ValueError, match='3'):
        split_inputs((IMAGES, 'ids', 'sentences'), SCENES)


@pytest.mark.parametrize('prompts', [CLASSES, LEARNED])
def test_only_some_prompts_take_a_condition(prompts):
    with pytest.raises(ValueError, match=f'inputs.*{type(prompts).__name__}.*condition'):
        split_inputs((IMAGES, 'ids'), prompts)
