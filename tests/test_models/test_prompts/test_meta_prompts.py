import pytest
import torch

from mmdiffperc.models import MetaPrompts
from mmdiffperc.models.layers import SentenceEncoder
from mmdiffperc.weights.architectures import build_text_encoder, text_parts


@pytest.mark.parametrize('step', [0, 2])
def test_a_shared_set_is_that_of_every_pass(step):
    prompts = MetaPrompts(num_prompts=5, embed_dims=8, num_refine_steps=3)
    embeds = prompts(2, step)
    assert embeds.shape == (2, prompts.num_prompts, 8)
    (embeddings,) = prompts.parameters()
    for image in embeds:
        torch.testing.assert_close(image, embeddings, rtol=0, atol=0)


def test_a_set_and_an_adapter_for_each_pass():
    adapter = dict(type='TextAdapter', gamma=None)
    prompts = MetaPrompts(num_prompts=5, embed_dims=8, num_refine_steps=3, shared=False, adapter=adapter)
    for step in range(3):
        first, _, second = prompts.adapters[step].mlp
        hidden = torch.nn.functional.gelu(prompts.embeddings[step] @ first.weight.T + first.bias)
        expected = hidden @ second.weight.T + second.bias
        torch.testing.assert_close(prompts(4, step=step), expected.expand(4, 5, 8))
    prompts(4, step=1).sum().backward()
    trained = {name for name, weight in prompts.named_parameters() if weight.grad is not None}
    assert trained == {
        'embeddings.1',
        *(f'adapters.1.mlp.{layer}.{part}' for layer in (0, 2) for part in ('weight', 'bias')),
    }


def test_they_start_as_standard_normal():
    (embeddings,) = MetaPrompts(num_prompts=150, embed_dims=768).parameters()
    assert embeddings.mean().item() == pytest.approx(0, abs=0.02)
    assert embeddings.std().item() == pytest.approx(1, abs=0.02)


def test_no_text_encoder_is_loaded():
    prompts = MetaPrompts(num_prompts=5, embed_dims=8)
    before = prompts(1).clone()
    prompts.init_embeddings('no arch', 'no checkpoint')
    torch.testing.assert_close(prompts(1), before)


@pytest.mark.parametrize(('shared', 'rows'), [(True, 1), (False, 3)])
def test_learned_pooled_embeddings_of_sdxl(shared, rows):
    prompts = MetaPrompts(2, embed_dims=8, num_refine_steps=3, shared=shared, pooled_dims=14)
    assert not prompts.pooled_embeddings.any() and not prompts.needs_text_encoder
    prompts.pooled_embeddings.data.normal_()
    for step in range(3):
        expected = prompts.pooled_embeddings[min(step, rows - 1)]
        torch.testing.assert_close(prompts.embed_pooled(4, step=step), expected.expand(4, 14))
    assert prompts.pooled_embeddings.shape == (rows, 14) and prompts.pooled_embeddings.requires_grad
    assert MetaPrompts(2, embed_dims=8).embed_pooled(4) is None


def test_pooled_embedding_of_the_empty_sentence(archs, tmp_path):
    for part in text_parts(archs['sdxl']):
        build_text_encoder(archs['sdxl'], part).save_pretrained(tmp_path / part)
    prompts = MetaPrompts(2, embed_dims=8, pooled_dims=14, pooled='empty')
    assert prompts.needs_text_encoder and 'pooled_embeddings' not in dict(prompts.named_parameters())
    prompts.init_embeddings(archs['sdxl'], tmp_path)
    encoder = SentenceEncoder(archs['sdxl'], 77)
    encoder.load(tmp_path)
    torch.testing.assert_close(prompts.embed_pooled(1), encoder.encode(['']).pooled)
