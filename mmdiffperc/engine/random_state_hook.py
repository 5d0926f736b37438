"""Resume a run exactly as if it had not been interrupted."""

import random
from collections.abc import Iterator
from functools import partial
from itertools import count
from numbers import Integral
from typing import Any

import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdiffperc.files import brief
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import validated


@HOOKS.register_module()
@validated
class RandomStateHook(Hook):
    """Make a resumed run equal to an uninterrupted one, with any number of processes.

    Random states are not saved. Instead, random numbers are derived from the seed and the progress of the run, so both
    runs draw the same ones by construction:

    - In an epoch-based loop, the generators of Python, NumPy and PyTorch are seeded at the start of each epoch. So are
      the workers of the data loader, which are restarted for this purpose, even persistent ones.
    - In an iteration-based loop, the generators are seeded before each batch is fetched. Workers keep running between
      batches: when such a loop resumes, mmengine first loads all batches that the run had already seen.

    Each checkpoint holds the seed. Without ``randomness=dict(seed=...)``, a run that is started again draws a different
    seed, and the data loader is then rebuilt with the seed of the checkpoint.

    Processes draw different numbers if ``randomness`` has ``diff_rank_seed=True``; see mmengine.

    Note:
        A run that resumes from a checkpoint in the middle of an epoch (``CheckpointHook`` with ``by_epoch=False`` in an
        epoch-based loop) differs, because mmengine repeats that epoch from its start. The log has a warning. Transforms
        that keep data between samples, such as mmdet's ``CachedMosaic``, are not covered either.

    Raises:
        ValueError: When loading a checkpoint: its ``meta['seed']`` is not a valid seed.
    """

    def __init__(self):
        self._loader_seed = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict):
        """Remember the seed of the data loader, which the seed of the checkpoint is about to replace."""
        meta = checkpoint.get('meta')
        seed = meta.get('seed') if isinstance(meta, dict) else None
        if seed is not None and not (isinstance(seed, Integral) and 0 <= seed < 2**32):  # the seeds of NumPy
            raise ValueError(
                f"meta['seed'] of the checkpoint: expected an integer from 0 to 2**32 - 1, got {brief(seed)}. The file "
                'is damaged, or was not written by mmengine.'
            )
        self._loader_seed = runner.seed

    def before_train(self, runner: Runner):
        """Prepare a resumed run, so that it loads the data of the run that it continues."""
        loop = runner.train_loop
        if runner.iter == 0:
            return
        if self._loader_seed not in (None, runner.seed):
            rebuild_loader(runner)
        if not is_iteration_based(loop) and runner.iter != runner.epoch * len(loop.dataloader):
            runner.logger.warning(
                f'RandomStateHook: the checkpoint is from the middle of epoch {runner.epoch + 1} (iteration '
                f'{runner.iter}), which starts again from its first batch: the run will differ from an uninterrupted '
                'one. Save checkpoints at the end of epochs: CheckpointHook with by_epoch=True.'
            )

    def before_train_epoch(self, runner: Runner):
        """Seed the generators. An iteration-based loop is one long epoch, whose batches are seeded one by one."""
        loop = runner.train_loop
        if is_iteration_based(loop):
            loop.dataloader_iterator = seeded_batches(loop.dataloader_iterator, runner.seed)
        else:
            restart_workers(loop.dataloader, runner.seed, runner.epoch)
            seed_generators(runner.seed, runner.epoch)


def is_iteration_based(loop: Any) -> bool:
    """Return whether a training loop takes batches from one iterator, as mmengine's ``IterBasedTrainLoop`` does."""
    return hasattr(loop, 'dataloader_iterator')


def rebuild_loader(runner: Runner):
    """Build the training data loader again, with the current seed of the runner."""
    loop, loader = runner.train_loop, runner._train_dataloader  # mmengine does not publish this config
    if not isinstance(loader, dict):
        return  # built by the user, independently of the seed
    different = runner._randomness_cfg.get('diff_rank_seed', False)
    loop.dataloader = runner.build_dataloader(loader, seed=runner.seed, diff_rank_seed=different)
    if is_iteration_based(loop):
        loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)


def seed_generators(seed: int, step: int):
    """Seed the generators of Python, NumPy and PyTorch from a seed and the number of an epoch or batch."""
    for_python, for_numpy, for_torch = np.random.SeedSequence([seed, step]).generate_state(3).tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.manual_seed(for_torch)  # on all devices


def seeded_batches(batches: Iterator, seed: int) -> Iterator:
    """Yield the batches of an endless iterator, and seed the generators with the number of each before fetching it."""
    for step in count():
        seed_generators(seed, step)
        yield next(batches)


def restart_workers(loader: DataLoader, seed: int, epoch: int):
    """Restart the workers with the seeds of an epoch; the seeds of the first epoch are mmengine's."""
    loader._iterator = None  # ends persistent workers; mmdet's hooks do the same
    init = loader.worker_init_fn
    if isinstance(init, partial) and init.func is worker_init_fn:
        workers = loader.num_workers * get_world_size()
        loader.worker_init_fn = partial(init, seed=(seed + epoch * workers) % (2**32 - workers))
