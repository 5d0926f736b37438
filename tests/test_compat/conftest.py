"""A real mmengine run, small enough to take well under a second."""

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn


class Regression(BaseModel):
    """One linear layer; its 16 kB are more than any log line and less than a page of disk quota."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, x, mode='loss'):
        residual = self.linear(x) - x.flip(1)
        return dict(loss=residual.square().mean()) if mode == 'loss' else [residual]


class Rising(BaseMetric):
    """Two scores that are better after every epoch, also of a resumed training."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        epoch = MessageHub.get_current_instance().get_info('epoch', 0)
        return dict(score=epoch, other=epoch)


@pytest.fixture(scope='session')
def make_runner():
    """Returns a function that makes the same runner every time, for ``max_epochs`` of four iterations."""

    def make(work_dir, max_epochs, checkpoint=None, hooks=(), validate=False, runner_class=Runner, **kwargs):
        torch.manual_seed(3)
        images = torch.randn(8, 64, generator=torch.Generator().manual_seed(4))
        dataset, collate = [dict(x=image) for image in images], dict(type='default_collate')
        loader = dict(
            dataset=dataset, batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=collate
        )
        validation = dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=[Rising()]) if validate else {}
        return runner_class(
            model=Regression(),
            work_dir=str(work_dir),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
            param_scheduler=dict(type='OneCycleLR', eta_max=1e-2, total_steps=16, by_epoch=False),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, **(checkpoint or {}))),
            custom_hooks=list(hooks),
            randomness=dict(seed=5),
            experiment_name=f'{work_dir}-{max_epochs}-{kwargs}',
            log_level='ERROR',
            **validation,
            **kwargs,
        )

    return make
