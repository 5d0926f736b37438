import pytest
import torch

from mmdiffperc.models import CaptionPrompts


@pytest.fixture
def prompts():
    prompts = CaptionPrompts('tiny-sd', embed_dims=96)
    prompts.init_embeddings('tiny-sd', 'tiny-sd')
    return prompts


def test_77_frozen_tokens(prompts):
    captions = ['a red sphere on a floor', '']
    embeds = prompts(2, captions)
    assert embeds.shape == (2, prompts.num_prompts, 96) == (2, 77, 96)
    torch.testing.assert_close(embeds, prompts.text_encoder(captions))
    assert not any(weight.requires_grad for weight in prompts.parameters())


def test_long_captions_are_cut_and_counted(prompts, caplog):
    sentence = 'a red sphere ' * 30
    embeds = prompts(3, [sentence, sentence + 'and a box', 'short'])
    assert embeds.shape == (3, 77, 96) and prompts.text_encoder.num_cut == 2
    torch.testing.assert_close(embeds[0, :76], embeds[1, :76])
    prompts(1, [sentence])  # known
    assert prompts.text_encoder.num_cut == 2


@pytest.mark.parametrize('captions', [['ένα'], [None], ['a', 'b'], 'a'])
def test_wrong_captions(prompts, captions):
    with pytest.raises((TypeError, ValueError), match='sentence|Latin'):
        prompts(1, captions)
