import pytest
import torch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.shipped_autoencoder import shipped_autoencoder

ALL = len(shipped_autoencoder())


@pytest.fixture(scope='module')
def weights():
    """Of a backbone whose autoencoder is the shipped one, as a training leaves them."""
    backbone = DiffusionUNet('tiny-sd', init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'))
    backbone.init_weights()
    return backbone.state_dict()


def vectors(weights):
    """What is published: of the autoencoder only biases and norms."""
    return {name: w for name, w in weights.items() if not name.startswith('autoencoder.') or w.ndim == 1}


def test_the_shipped_autoencoder_completes_a_checkpoint(weights):
    published = {name: weight.half() for name, weight in vectors(weights).items()}
    assert 0 < len(weights) - len(published) < ALL
    backbone = DiffusionUNet('tiny-sd')
    backbone.load_state_dict(published)  # strict
    for name, weight in backbone.autoencoder.state_dict().items():
        assert torch.equal(weight, weights[f'autoencoder.{name}']), name


def test_another_autoencoder_is_not_completed(weights):
    published = vectors(weights)
    name = 'autoencoder.vae.encoder.conv_in.bias'
    published[name] = published[name] + 0.5
    with pytest.raises(RuntimeError, match='autoencoder.vae.encoder.conv_in.weight'):
        DiffusionUNet('tiny-sd').load_state_dict(published)


def test_without_any_of_its_weights_it_is_not_completed(weights):
    others = {name: weight for name, weight in weights.items() if not name.startswith('autoencoder.')}
    with pytest.raises(RuntimeError, match=f'{ALL}.*{len(weights)}'):
        DiffusionUNet('tiny-sd').load_state_dict(others)
