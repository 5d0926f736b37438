"""Resume as if nothing had happened."""

import random
from collections.abc import Iterator
from functools import partial
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
    """Make a resumed run equal an undisturbed one, with any number of processes.

    Random numbers are not continued from a saved state but derived from the seed of the run and from how far it has
    come, so both runs draw the same ones by construction:

    - In an epoch-based loop, Python's, NumPy's and torch's generators are seeded at the start of each epoch. Workers
      of the data loader are seeded by the epoch, too, and therefore start anew with it, also persistent ones.
    - In an iteration-based loop, the generators are seeded before each batch is fetched. Workers keep running between
      batches: when such a loop resumes, mmengine first loads all batches that the run had seen.

    The seed itself is in each checkpoint. Without ``randomness=dict(seed=...)``, a run that is started again draws
    another one, and the data loader is then rebuilt with the seed of the checkpoint.

    Processes draw different numbers if ``randomness`` has ``diff_rank_seed=True``; see mmengine.

    Note:
        A checkpoint from the middle of an epoch (``CheckpointHook`` with ``by_epoch=False`` in an epoch-based loop)
        cannot resume equal, because mmengine repeats that epoch from its start. The log warns of it. Transforms that
        keep data between samples, such as mmdet's ``CachedMosaic``, are not covered either.

    Raises:
        ValueError: When a checkpoint is loaded: its ``meta['seed']`` is not a seed.
    """

    def __init__(self):
        self._loader_seed = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict):
        """Note the seed that the data loader was built with, which the checkpoint's seed is about to replace."""
        meta = checkpoint.get('meta')
        check_seed(meta.get('seed') if isinstance(meta, dict) else None)
        self._loader_seed = runner.seed

    def before_train(self, runner: Runner):
        """Give a resumed run the data of the run that it continues."""
        loop = runner.train_loop
        if runner.iter == 0:
            return
        if self._loader_seed not in (None, runner.seed):
            rebuild_loader(runner)
        if not is_iteration_based(loop) and runner.iter != runner.epoch * len(loop.dataloader):
            runner.logger.warning(
                f'RandomStateHook: the checkpoint is from the middle of epoch {runner.epoch + 1} (iteration '
                f'{runner.iter}), which starts again from its first batch: the run will differ from an undisturbed '
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


def check_seed(seed: Any):
    """Refuse what NumPy cannot be seeded with; None means that there is no seed.

    Raises:
        ValueError: It is not an integer from 0 to 2**32 - 1.
    """
    if seed is not None and not (isinstance(seed, Integral) and 0 <= seed < 2**32):
        raise ValueError(
            f"meta['seed'] of the checkpoint: expected an integer from 0 to 2**32 - 1, got {brief(seed)}. The file is "
            'damaged, or was not written by mmengine.'
        )


def is_iteration_based(loop: Any) -> bool:
    """Return whether a training loop takes batches from one iterator, as mmengine's ``IterBasedTrainLoop`` does."""
    return hasattr(loop, 'dataloader_iterator')


def rebuild_loader(runner: Runner):
    """Build the data loader of the training again, with the seed that the runner has now."""
    loop, loader = runner.train_loop, runner._train_dataloader  # the config, of which mmengine offers no public view
    if not isinstance(loader, dict):
        return  # the user's own, which does not depend on the seed
    different = runner._randomness_cfg.get('diff_rank_seed', False)
    loop.dataloader = runner.build_dataloader(loader, seed=runner.seed, diff_rank_seed=different)
    if is_iteration_based(loop):
        loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)


def seed_generators(seed: int, step: int):
    """Seed Python's, NumPy's and torch's generators with numbers derived from a seed and a number of steps."""
    for_python, for_numpy, for_torch = np.random.SeedSequence([seed, step]).generate_state(3).tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.manual_seed(for_torch)  # on all devices


def seeded_batches(batches: Iterator, seed: int) -> Iterator:
    """Yield the batches of an endless iterator, each fetched and then used with generators seeded by its number."""
    step = 0
    while True:
        seed_generators(seed, step)
        yield next(batches)
        step += 1


def restart_workers(loader: DataLoader, seed: int, epoch: int):
    """Let new workers, with new seeds, load the coming epoch; those of the first epoch have mmengine's seeds."""
    loader._iterator = None  # ends persistent workers; mmdet's hooks do the same
    init = loader.worker_init_fn
    if isinstance(init, partial) and init.func is worker_init_fn:
        workers = loader.num_workers * get_world_size()
        loader.worker_init_fn = partial(init, seed=(seed + epoch * workers) % (2**32 - workers))
