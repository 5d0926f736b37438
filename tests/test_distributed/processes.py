"""What runs in each of several processes: training and evaluation of a config, over gloo."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import distributed
from torch.multiprocessing import start_processes

from mmdiffperc.compat.checkpoint import load_file

# What mmengine passes by default, but for the GPU, by the strategy.
ON_CPU = {
    None: {'model_wrapper_cfg': dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)},
    'FSDPStrategy': {'strategy.model_wrapper.device_id': torch.device('cpu')},
}


class KeepLosses(Hook):
    """Keeps the loss of each iteration of this process."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(float(outputs['loss']))


def train_and_evaluate(config: str, work_dir: Path | str, **changes) -> dict:
    """Do what ``train.py`` of the hosts does, and evaluate.

    Returns:
        dict: The losses and the metrics. Checkpoints are in the working directory.
    """
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(dict(changes, work_dir=str(work_dir)))
    cfg.visualizer.name = cfg.experiment_name = str(work_dir).replace('/', '-')  # one of a kind in a process
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    keeper = KeepLosses()
    runner.register_hook(keeper)
    runner.train()
    return dict(losses=keeper.losses, metrics=runner.val())


def _work(rank: int, world_size: int, folder: str, configs: dict[str, str]):
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(world_size))
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world_size)
    for name, config in configs.items():
        on_cpu = ON_CPU.get(Config.fromfile(config).get('strategy', {}).get('type'), {})
        found = train_and_evaluate(config, f'{folder}/{name}', launcher='pytorch', **on_cpu)
        torch.save(found, f'{folder}/{name}-{rank}.pth')
    distributed.destroy_process_group()


def fork(work: Callable, number: int, *args):
    """Run a function in so many copies of this process; the rank comes before the other arguments.

    The copies must not collect what this process has left over: some of it waits for threads that a copy lacks.
    """
    gc.collect()
    gc.freeze()
    try:
        start_processes(work, args=args, nprocs=number, start_method='fork')
    finally:
        gc.unfreeze()


def run_processes(world_size: int, folder: Path, configs: dict[str, str]) -> dict[str, list[dict]]:
    """Run every config in so many processes; what each of them found, by the config's name."""
    folder.mkdir(exist_ok=True)
    fork(_work, world_size, world_size, str(folder), configs)
    return {name: [load_file(folder / f'{name}-{rank}.pth') for rank in range(world_size)] for name in configs}
