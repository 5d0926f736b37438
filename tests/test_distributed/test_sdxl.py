"""Two processes train a tiny SDXL, as replicas and sharded."""

from datetime import timedelta

import pytest
import torch
from mmengine.model import MMDistributedDataParallel, MMFullyShardedDataParallel
from torch import distributed, nn

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.models import DiffusionUNet

from .processes import fork

WRAPPERS = dict(
    replicated=lambda model: MMDistributedDataParallel(model, broadcast_buffers=False),
    sharded=lambda model: MMFullyShardedDataParallel(
        model, auto_wrap_policy='wrap_diffusion_blocks', use_orig_params=True, device_id=torch.device('cpu')
    ),
)
# By process and step. In the second step, only one of the processes has to run its text encoders.
SENTENCES = [['a red box', 'a red box'], ['the sea', 'a cone']]


class Mean(nn.Module):
    """A loss to which each feature contributes."""

    def __init__(self, arch):
        super().__init__()
        prompts = dict(type='TextPrompts', max_length=9, adapter=dict(type='TextAdapter'))
        self.backbone = DiffusionUNet(arch, prompts=prompts, cross_attention=dict(strides=(16, 32)))
        self.backbone.prompts.text_encoder.note_weights()

    def forward(self, images, sentences):
        return sum(feature.square().mean() for feature in self.backbone((images, sentences)))


def _train(rank, folder, arch):
    torch.set_num_threads(1)
    distributed.init_process_group(
        'gloo', f'file://{folder}/rendezvous', timedelta(seconds=60), rank=rank, world_size=len(SENTENCES)
    )
    images = torch.rand(1, 3, 40, 72, generator=torch.Generator().manual_seed(rank)) * 2 - 1
    losses = {}
    for name, wrap in WRAPPERS.items():
        torch.manual_seed(0)
        model = wrap(Mean(arch).train())
        optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.01)
        losses[name] = []
        for sentence in SENTENCES[rank]:
            optimizer.zero_grad()
            loss = model(images, [sentence])
            loss.backward()
            optimizer.step()
            losses[name].append(loss.item())
    torch.save(losses, f'{folder}/{rank}.pth')
    distributed.destroy_process_group()


def test_replicas_and_shards_train_alike(archs, tmp_path):
    """Without ``find_unused_parameters``: replicas would fail in the second step."""
    fork(_train, len(SENTENCES), str(tmp_path), archs['sdxl'])
    for rank in range(len(SENTENCES)):
        losses = load_file(tmp_path / f'{rank}.pth')
        assert losses['sharded'] == pytest.approx(losses['replicated'], rel=1e-5)
        assert losses['sharded'][1] < 0.9 * losses['sharded'][0]
