import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_vit import OLD_FILE, VIT, save_vit
from transformers import ViTForImageClassification, ViTImageProcessorPil

from mmdiffperc.models.layers.image_classifier import ImageClassifier, square_levels


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return save_vit(tmp_path_factory.mktemp('vit') / 'new')


@pytest.fixture
def images():
    return torch.rand(2, 3, 20, 48) * 2 - 1


def load(**arguments):
    classifier = ImageClassifier(**arguments)
    classifier.load()
    return classifier


@pytest.mark.parametrize(('size', 'padding'), [((20, 48), np.s_[:, :, 20:]), ((48, 20), np.s_[..., 20:])])
def test_squares_are_padded_with_black(size, padding):
    levels = square_levels(torch.rand(2, 3, *size) * 1.5 - 0.5)
    assert levels.shape == (2, 3, 48, 48) and levels[padding].abs().max() == 0
    assert levels.max() <= 255 and levels[..., :20, :20].min() > 60
    assert torch.equal(levels, levels.round())


def test_levels_are_cut_not_rounded():
    assert square_levels(torch.full((1, 3, 1, 1), 2 * 100.9 / 255 - 1)).flatten().tolist() == [100.0] * 3
    assert square_levels(torch.tensor([-1.1, -1.0, 1.0, 1.1]).reshape(1, 1, 2, 2)).flatten().tolist() == [
        0,
        0,
        255,
        255,
    ]


def test_pixels_are_those_of_transformers(folder, images):
    """Of its processor that resizes with PIL, exactly."""
    squares = square_levels(images).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    processor = ViTImageProcessorPil(size=dict(height=32, width=32))
    expected = processor([Image.fromarray(square) for square in squares], return_tensors='pt').pixel_values
    torch.testing.assert_close(load(classifier=folder).pixel_values(images), expected, rtol=0, atol=1e-6)


def test_pixels_of_a_traced_graph_are_almost_the_same(folder, images):
    classifier = load(classifier=folder)
    pixels = classifier.pixel_values(images)
    assert classifier.pixel_values(images.to('meta')).shape == pixels.shape == (2, 3, 32, 32)
    traced = torch.jit.trace(lambda images: classifier.pixel_values(images), images)(images)
    assert (traced - pixels).abs().max() < 0.009  # one level of 255


@pytest.mark.parametrize('old_names', [False, True])
def test_logits(tmp_path, images, old_names):
    """Of a folder in the names and the format of old and of new versions of transformers."""
    folder = save_vit(tmp_path / 'vit', old_names)
    assert (folder / OLD_FILE).exists() == old_names
    network = ViTForImageClassification.from_pretrained(save_vit(tmp_path / 'other')).eval()
    classifier = load(classifier=str(folder))
    logits = classifier(images)
    assert logits.shape == (2, 7) and not logits.requires_grad
    torch.testing.assert_close(logits, network(classifier.pixel_values(images)).logits.detach())


def test_token(folder, images):
    """Before the final norm, whose weights are left out like the classification layer."""
    network = ViTForImageClassification.from_pretrained(folder).eval()
    classifier = load(classifier=folder, with_logits=False, frozen=False)
    states = network.vit(classifier.pixel_values(images), output_hidden_states=True).hidden_states
    token = classifier(images)
    torch.testing.assert_close(token, states[-1][:, 0])
    token.square().sum().backward()
    assert all(weight.grad is not None for weight in classifier.parameters())


def test_frozen_and_trained(folder):
    frozen, trained = load(classifier=folder).train(), load(classifier=folder, frozen=False).train()
    assert not frozen.vit.training and not any(weight.requires_grad for weight in frozen.parameters())
    assert trained.vit.training and all(weight.requires_grad for weight in trained.parameters())


def test_a_frozen_classifier_needs_weights(folder, images):
    with pytest.raises(RuntimeError, match='pretrained'):
        ImageClassifier(VIT)(images)
    assert ImageClassifier(VIT, frozen=False)(images).shape == (2, 7)
    of_checkpoint = ImageClassifier(VIT)
    of_checkpoint.load_state_dict(load(classifier=folder).state_dict())
    assert of_checkpoint(images).shape == (2, 7)


def test_the_published_classifier_needs_no_file():
    with torch.device('meta'):
        classifier = ImageClassifier()
    assert (classifier.image_size, classifier.num_labels, classifier.out_dims) == (224, 1000, 768)
    assert sum(weight.numel() for weight in classifier.parameters()) == 86_567_656
    assert classifier.pretrained == 'google/vit-base-patch16-224'


def test_weights_with_another_number_of_classes(folder):
    with pytest.raises(ValueError, match='7 classes.*has 9'):
        load(classifier=VIT | dict(num_labels=9), pretrained=folder)


def test_weights_of_another_size(folder):
    with pytest.raises(ValueError, match='layers.*differ'):
        load(classifier=VIT | dict(hidden_size=16), pretrained=folder)


@pytest.mark.parametrize(
    ('classifier', 'match'),
    [
        ('/nowhere', "'/nowhere'"),
        (dict(colour=3), "'colour'"),
        (dict(hidden_size=10, num_attention_heads=3), 'hidden_size=10.*3'),
        (dict(image_size=[224, 112]), 'image_size'),
        (dict(hidden_size='wide'), 'ViTConfig'),
    ],
)
def test_wrong_config(classifier, match):
    with pytest.raises(ValueError, match=match):
        ImageClassifier(classifier)


def test_folder_of_another_model(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='clip_text_model')))
    with pytest.raises(ValueError, match='ViT.*clip_text_model'):
        ImageClassifier(tmp_path)


def test_folder_without_weights(folder, tmp_path):
    (tmp_path / 'config.json').write_text((folder / 'config.json').read_text())
    with pytest.raises(OSError, match='pretrained='):
        load(classifier=tmp_path)
