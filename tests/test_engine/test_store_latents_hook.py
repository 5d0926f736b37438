"""Stored latents do not change a training."""

from itertools import count

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmdiffperc.engine import StoreLatentsHook
from mmdiffperc.models import LatentAutoencoder

names = count()
IMAGES = torch.linspace(-1, 1, 3 * 3 * 16 * 24).view(3, 3, 16, 24).cos()


class Model(BaseModel):
    """A layer on sampled latents."""

    def __init__(self, arch):
        super().__init__()
        self.autoencoder = LatentAutoencoder(arch)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, image, mode='loss'):
        return dict(loss=self.head(self.autoencoder.encode(image, sample=True)).square().mean())


class Plain(BaseModel):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, image, mode='loss'):
        raise NotImplementedError


class Look(Hook):
    """Keeps the stores, which are removed after the training."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.store = runner.model.autoencoder.store


def train(folder, model, *hooks):
    torch.manual_seed(1)
    runner = Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=[dict(image=image) for image in IMAGES],
            batch_size=1,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[dict(type='RandomStateHook'), *hooks],
        experiment_name=f'latents-{next(names)}',
        log_level='ERROR',
        randomness=dict(seed=5),
    )
    runner.train()
    return model


def build(arch):
    torch.manual_seed(0)
    return Model(arch)


def test_training_is_the_same(arch, tmp_path):
    expected = train(tmp_path / 'plain', build(arch)).state_dict()
    for num_read in (3 * 3, 3 * 4):  # the second run reads in its first epoch, too
        look, stored = Look(), dict(type='StoreLatentsHook', folder=str(tmp_path / 'latents'))
        model = train(tmp_path / 'stored', build(arch), stored, look)
        assert look.store.num_read == num_read and model.autoencoder.store is None
        for name, value in model.state_dict().items():
            assert torch.equal(value, expected[name]), name
    assert len([*(tmp_path / 'latents').rglob('*.safetensors')]) == 3


def test_model_without_autoencoder(tmp_path):
    with pytest.raises(ValueError, match='StoreLatentsHook.*Plain'):
        train(tmp_path, Plain(), StoreLatentsHook(folder=tmp_path))


def test_a_trained_autoencoder_has_no_fixed_latents(arch, tmp_path):
    model = Model(arch)
    model.autoencoder = LatentAutoencoder(arch, trained=True)
    with pytest.raises(ValueError, match='StoreLatentsHook.*trained.*autoencoder'):
        train(tmp_path, model, StoreLatentsHook(str(tmp_path / 'latents')))
