import pytest
import torch

from mmdiffperc.models import ClassTokenPrompts, DiffusionUNet
from mmdiffperc.models.layers.sentence_encoder import SentenceEncoder

CLASSES = ['sphere', 'red_box', 'cone']


def test_pascal_voc_has_24_tokens():
    """21 names, two of which have two words, and one token for the beginning."""
    names = (
        'background airplane bicycle bird boat bottle bus car cat chair cow dining_table dog horse motorcycle person '
        'potted_plant sheep sofa train television'
    )
    assert ClassTokenPrompts(names.split(), arch='sd1-5', embed_dims=768).num_prompts == 24


def test_each_name_is_encoded_on_its_own():
    prompts = ClassTokenPrompts(CLASSES, arch='tiny-sd', embed_dims=96)
    prompts.init_embeddings('tiny-sd', 'tiny-sd')
    encoder = SentenceEncoder('tiny-sd', 20)
    encoder.load('tiny-sd')
    states = encoder(['sphere', 'red box', 'cone'])
    expected = torch.cat([states[0, :2], states[1, 1:3], states[2, 1:2]])
    assert prompts.num_prompts == 5
    torch.testing.assert_close(prompts(3), expected.expand(3, -1, -1))


def test_in_a_backbone_with_maps():
    backbone = DiffusionUNet(
        'tiny-sd',
        prompts=dict(type='ClassTokenPrompts', classes=CLASSES),
        cross_attention=dict(strides=(16,)),
        init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
    )
    backbone.init_weights()
    features = backbone(torch.zeros(1, 3, 64, 96))
    assert backbone.out_channels[1] == features[1].shape[1] == 96 + 5


def test_name_of_too_many_tokens():
    with pytest.raises(ValueError, match="'tree tree.*75"):
        ClassTokenPrompts(['tree ' * 76 + '.'], arch='sd1-5', embed_dims=768)


def test_not_for_sdxl(archs):
    with pytest.raises(ValueError, match='ClassPrompts'):
        ClassTokenPrompts(CLASSES, arch=archs['sdxl'], embed_dims=32)
