import pytest
import torch
from tiny_vit import VIT, save_vit

from mmdiffperc.models import DiffusionUNet, ImageClassPrompts

OPTIONS = dict(embed_dims=10, num_scenes=5, hidden_dims=6, classifier=VIT)


@pytest.fixture
def images():
    return torch.rand(2, 3, 24, 40) * 2 - 1


def test_mixture_of_scenes(images):
    prompts = ImageClassPrompts(**OPTIONS, frozen=False, adapter=dict(type='TextAdapter', gamma=0.5))
    logits = prompts.classifier(images)
    weights = prompts.weigh(logits)
    assert weights.shape == (2, 5)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    mixed = sum(weights[:, index, None] * prompts.embeddings[index] for index in range(5))
    embeds = prompts(2, images)
    assert embeds.shape == (2, prompts.num_prompts, 10) == (2, 1, 10)
    torch.testing.assert_close(embeds[:, 0], prompts.adapter(mixed))


def test_what_trains(images, tmp_path):
    prompts = ImageClassPrompts(**OPTIONS, pretrained=save_vit(tmp_path / 'vit'))
    prompts.init_embeddings()
    prompts.train()
    prompts(2, images).square().sum().backward()
    trained = {name.split('.')[0] for name, weight in prompts.named_parameters() if weight.requires_grad}
    assert trained == {'mlp', 'embeddings'}
    assert all(weight.grad.abs().sum() > 0 for weight in (prompts.embeddings, *prompts.mlp.parameters()))


@pytest.mark.parametrize('size', [(64, 96), (70, 90)])
def test_in_a_backbone(arch, tmp_path, size):
    """Its images go to the classifier, too; a checkpoint holds the classifier."""
    folder = save_vit(tmp_path / 'vit')
    config = dict(type='ImageClassPrompts', num_scenes=5, hidden_dims=6, classifier=str(folder))
    torch.manual_seed(0)
    backbone = DiffusionUNet(arch, prompts=config)
    backbone.prompts.init_embeddings()
    images = torch.rand(2, 3, *size) * 2 - 1
    features = backbone.eval()(images)
    same = DiffusionUNet(arch, prompts=dict(config, classifier=VIT))
    same.load_state_dict(backbone.state_dict())
    for one, other in zip(features, same.eval()(images), strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(ValueError, match='ImageClassPrompts'):
        backbone((images, images))


def test_sdxl_is_refused(archs):
    with pytest.raises(ValueError, match='ImageClassPrompts.*pooled'):
        DiffusionUNet(archs['sdxl'], prompts=dict(type='ImageClassPrompts', classifier=VIT))
