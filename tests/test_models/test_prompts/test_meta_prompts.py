import pytest
import torch

from mmdiffperc.models import MetaPrompts


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
