"""What runs in each of several processes: training and evaluation of a config, over gloo."""

import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import distributed
from torch.multiprocessing import spawn

import mmdiffperc  # noqa: F401  (a new process; its compat part has to come before any host)


class KeepLosses(Hook):
    """Keeps the loss of each iteration of this process."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(float(outputs['loss']))


def build_runner(config: str, **changes):
    """The runner that ``train.py`` of the hosts builds."""
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(changes)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def train_and_evaluate(config: str, **changes) -> dict:
    """Train and evaluate; the losses, the metrics, and the weights after it."""
    torch.manual_seed(0)
    runner = build_runner(config, **changes)
    keeper = KeepLosses()
    runner.register_hook(keeper)
    runner.train()
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    weights = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    return dict(losses=keeper.losses, metrics=runner.val(), weights=weights)


def _work(rank: int, world_size: int, folder: str, configs: dict[str, str]):
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(world_size))
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world_size)
    for name, config in configs.items():
        # What mmengine passes by default, but for the GPU.
        wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
        found = train_and_evaluate(
            config, launcher='pytorch', model_wrapper_cfg=wrapper, work_dir=f'{folder}/{name}-{world_size}'
        )
        torch.save(found, f'{folder}/{name}-{rank}.pth')
    distributed.destroy_process_group()


def run_processes(world_size: int, folder: Path, configs: dict[str, str]) -> dict[str, list[dict]]:
    """Run every config in so many processes; what each of them found, by the config's name."""
    folder.mkdir()
    spawn(_work, args=(world_size, str(folder), configs), nprocs=world_size)
    return {name: [torch.load(folder / f'{name}-{rank}.pth') for rank in range(world_size)] for name in configs}
