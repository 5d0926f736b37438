"""What mmengine's ``Runner`` can do to a model with :class:`DiffusionUNet`."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdiffperc.models import DiffusionUNet

PROMPTS = dict(type='ClassPrompts', classes=['wall', 'sky'], adapter=dict(type='TextAdapter', gamma=0.1))


class Regressor(BaseModel):
    """A host's model in its least form: the backbone and a loss."""

    def __init__(self, arch):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = DiffusionUNet(arch, prompts=PROMPTS, cross_attention=dict(strides=(16,)))

    def forward(self, inputs, mode):
        """The loss, in every mode."""
        return dict(loss=sum(feature.float().square().mean() for feature in self.backbone(inputs)))


@pytest.fixture
def train(arch, tmp_path):
    """Train for two iterations; returns the weights before and after, by name."""
    images = torch.rand(4, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def train(name, **cfg):
        model = Regressor(arch)
        before = {key: weight.clone() for key, weight in model.state_dict().items()}
        runner = Runner(
            model,
            work_dir=str(tmp_path / name),
            train_dataloader=DataLoader([dict(inputs=image) for image in images], batch_size=2),
            train_cfg=dict(by_epoch=False, max_iters=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint=None),
            experiment_name=f'{tmp_path.name}-{name}',
            cfg=cfg,
        )
        runner.train()
        return before, model.state_dict()

    return train


@pytest.mark.slow
def test_compiled_training_step(train):
    before, plain = train('plain')
    _, compiled = train('compiled', compile=dict(backend='aot_eager'))
    assert not torch.equal(plain['backbone.unet.conv_in.weight'], before['backbone.unet.conv_in.weight'])
    for name, weight in compiled.items():
        torch.testing.assert_close(weight, plain[name], rtol=1e-4, atol=1e-6, msg=name)
