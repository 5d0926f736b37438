import pytest
import torch
from tiny_vit import VIT, save_vit

from mmdiffperc.models import DiffusionUNet, ImageTokenPrompts


def test_token_of_each_image(tmp_path):
    prompts = ImageTokenPrompts(embed_dims=12, classifier=str(save_vit(tmp_path / 'vit')))
    prompts.init_embeddings()
    images = torch.rand(2, 3, 24, 40) * 2 - 1
    embeds = prompts(2, images)
    assert embeds.shape == (2, 1, 12)
    torch.testing.assert_close(embeds[:, 0], prompts.classifier(images))
    assert (embeds[0] - embeds[1]).abs().max() > 1e-3


@pytest.mark.parametrize('frozen', [False, True])
def test_the_vit_trains_with_the_backbone(arch, tmp_path, frozen):
    config = dict(type='ImageTokenPrompts', classifier=str(save_vit(tmp_path / 'vit')), frozen=frozen)
    backbone = DiffusionUNet(arch, prompts=config)
    backbone.prompts.init_embeddings()
    sum(feature.square().mean() for feature in backbone(torch.rand(2, 3, 64, 96))).backward()
    gradients = [weight.grad is not None for weight in backbone.prompts.parameters()]
    assert len(gradients) > 20 and all(gradient == (not frozen) for gradient in gradients)


def test_vit_of_another_width():
    with pytest.raises(ValueError, match='12 wide.*embed_dims=16'):
        ImageTokenPrompts(embed_dims=16, classifier=VIT)
