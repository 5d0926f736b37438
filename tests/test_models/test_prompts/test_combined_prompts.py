import pytest
import torch

from mmdiffperc.models import CombinedPrompts, DiffusionUNet

META = dict(type='MetaPrompts', num_prompts=3)
CAPTION = dict(type='CaptionPrompts', max_length=9)


def test_parts_one_after_the_other():
    prompts = CombinedPrompts([CAPTION, META], arch='tiny-sd', embed_dims=96)
    assert prompts.num_prompts == 12 and prompts.condition == 'sentences' and prompts.needs_text_encoder
    prompts.init_embeddings('tiny-sd', 'tiny-sd')
    captions, meta = prompts.parts
    sentences = ['a red sphere', '']
    torch.testing.assert_close(prompts(2, sentences), torch.cat([captions(2, sentences), meta(2)], dim=1))


def test_parts_of_each_pass(archs):
    parts = [dict(META, shared=False), dict(META, num_prompts=2)]
    prompts = CombinedPrompts(parts, arch=archs['sd1'], embed_dims=12, num_refine_steps=2)
    assert prompts.condition is None and not prompts.needs_text_encoder
    first, second = (prompts(1, step=step) for step in range(2))
    assert not torch.equal(first[:, :3], second[:, :3]) and torch.equal(first[:, 3:], second[:, 3:])


def test_pooled_embedding_of_the_first_part(archs):
    prompts = CombinedPrompts([META, dict(META, pooled='empty')], archs['sdxl'], embed_dims=32, pooled_dims=14)
    with torch.no_grad():
        prompts.parts[0].pooled_embeddings.fill_(3)
    assert torch.equal(prompts.embed_pooled(2), torch.full((2, 14), 3.0))
    assert DiffusionUNet(archs['sdxl'], prompts=dict(type='CombinedPrompts', parts=[META])).prompts.num_prompts == 3


def test_two_conditions():
    vit = dict(hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    parts = [CAPTION, dict(type='ImageClassPrompts', classifier=vit)]
    with pytest.raises(ValueError, match='sentences and images'):
        CombinedPrompts(parts, arch='tiny-sd', embed_dims=96)
