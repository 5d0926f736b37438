"""Count what each way to train on several GPUs needs, and predict its time, for ``plan.py``."""

import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from mmdiffperc.engine.communication_count import PASSES, SentBytes, pretend_processes
from mmdiffperc.engine.memory_count import DEVICE, StepMemory
from mmdiffperc.engine.sharding import device_mesh, shard, wrap_diffusion_blocks

from .memory import GIB, build_wrapper, check_config
from .memory import count as count_memory

SPARE = 0.1  # share of the GPU's memory that PyTorch and CUDA need in addition
BACKWARD = 2 / 3  # share of a training step


class Machine(NamedTuple):
    """The GPUs to plan for.

    Args:
        gpus (int): Number of GPUs, on all nodes together.
        nodes (int): Number of nodes.
        memory (float): Memory of a GPU in bytes.
        bandwidth (float): Bytes per second that a GPU sends to others in its node.
        node_bandwidth (float): Bytes per second that a node sends to others.
        host_bandwidth (float): Bytes per second between a GPU and the memory of the CPU.
        flops (float | None): Floating-point operations per second that a GPU reaches in training.
    """

    gpus: int
    nodes: int
    memory: float
    bandwidth: float
    node_bandwidth: float
    host_bandwidth: float
    flops: float | None

    @property
    def per_node(self) -> int:
        """Number of GPUs in a node."""
        return self.gpus // self.nodes

    def seconds(self, sent: Counter) -> float:
        """Return how long a GPU sends, given bytes by kind of operation and ranks of the GPUs that take part."""
        across = min(self.bandwidth, self.node_bandwidth / self.per_node)  # the GPUs of a node share its network
        return sum(
            size / (self.bandwidth if len({rank // self.per_node for rank in ranks}) == 1 else across)
            for (_, ranks), size in sent.items()
        )


class Step(NamedTuple):
    """What a GPU needs for a batch.

    Args:
        memory (StepMemory): Its memory, as counted.
        peak (int): Bytes on the GPU at most.
        host (int): Bytes in the memory of the CPU.
        per_batch (Counter): Bytes that it sends for each batch.
        per_update (Counter): Bytes that it sends once for each update.
        to_host (int): Bytes to and from the memory of the CPU for each batch.
        flops (int): Floating-point operations for each batch.
    """

    memory: StepMemory
    peak: int
    host: int
    per_batch: Counter
    per_update: Counter
    to_host: int
    flops: int


class Plan(NamedTuple):
    """A strategy, with the largest batch that fits.

    Args:
        strategy (str): Its name.
        fits (bool): Whether a batch fits in the memory of a GPU.
        batch_size (int): Images in a batch of a GPU.
        accumulated (int): Batches in an update.
        peak (int): Bytes on a GPU at most.
        host (int): Bytes of a node's CPU memory.
        sent (int): Bytes that a GPU sends in an update.
        computing (float | None): Seconds that a GPU computes in an update.
        sending (float): Seconds that a GPU sends in an update.
        seconds (float | None): Seconds of an update at least.
    """

    strategy: str
    fits: bool
    batch_size: int
    accumulated: int
    peak: int
    host: int
    sent: int
    computing: float | None
    sending: float
    seconds: float | None


def total_batch_size(cfg: Config, path: str, gpus: int) -> int:
    """Return the images in an update: those of ``auto_scale_lr``, of the config's name, or of batches on all GPUs."""
    if base := cfg.get('auto_scale_lr', {}).get('base_batch_size'):
        return base
    accumulated = cfg.optim_wrapper.get('accumulative_counts', 1)
    if named := re.search(r'_(\d+)xb(\d+)-', Path(path).name):
        return int(named[1]) * int(named[2]) * accumulated
    return gpus * cfg.train_dataloader.batch_size * accumulated


def replicate(cfg: Config, batch_size: int, size, machine: Machine) -> Step:
    """Count DistributedDataParallel: each GPU has everything."""
    memory, sent, flops = count(cfg, batch_size, size)
    # Gradients are copied into buckets, and these are summed up once for an update.
    reduced = _ring('all-reduce', memory.gradients, machine)
    return Step(memory, memory.peak + memory.gradients, memory.host, sent, reduced, 0, flops)


def divide_state(cfg: Config, batch_size: int, size, machine: Machine) -> Step:
    """Count DistributedDataParallel with the optimizer's state divided over the GPUs (ZeRO, stage 1)."""
    settings = deepcopy(cfg)
    optimizer = settings.optim_wrapper.optimizer
    optimizer.update(type='ZeroRedundancyOptimizer', optimizer_type=optimizer.type)
    step = replicate(settings, batch_size, size, machine)
    # What is sent in addition are the weights, which each GPU updates a part of.
    return step._replace(per_batch=Counter(), per_update=step.per_batch + step.per_update)


def divide_gradients(step: Step, machine: Machine) -> Step:
    """Derive DeepSpeed with gradients and state divided over the GPUs (ZeRO, stage 2) from the count without it."""
    divided = step.memory.gradients + step.memory.optimizer_state
    peak = step.memory.peak - divided + divided // machine.gpus
    sent = _ring('reduce-scatter', step.memory.gradients, machine) + _ring('all-gather', step.memory.gradients, machine)
    return step._replace(peak=peak, per_update=sent)


def divide_all(cfg: Config, batch_size: int, size, machine: Machine) -> Step:
    """Count FullyShardedStrategy: weights, gradients and state are divided over the GPUs."""
    options = cfg.get('strategy', {})
    dtype = getattr(torch, options.get('dtype', 'float32'))
    mesh = device_mesh(DEVICE.type)

    def build(cfg, model):
        shard(model, mesh, wrap_diffusion_blocks, dtype)
        return build_wrapper(cfg, model)

    memory, sent, flops = count(cfg, batch_size, size, build)
    return Step(memory, memory.peak, memory.host, sent, Counter(), 0, flops)


def offload(step: Step, machine: Machine) -> Step:
    """Derive FullyShardedStrategy with ``offload=True`` from the count without it."""
    weights, state, gradients = step.memory.weights, step.memory.optimizer_state, step.memory.gradients
    # At the peak, some of the gradients may be on the GPU in the count, so this is an upper bound.
    peak, host = step.peak - weights - state, weights + state + gradients
    return step._replace(peak=peak, host=host, to_host=2 * weights + gradients)


def count(cfg: Config, batch_size: int, size, build=build_wrapper) -> tuple[StepMemory, Counter, int]:
    """Count memory, bytes sent, and floating-point operations of a batch and an update."""
    sent, operations = SentBytes(), FlopCounterMode(display=False)
    memory = count_memory(cfg, batch_size, size, build, (sent, operations))
    return memory, sent.counts, operations.get_total_flops()


def _ring(kind, size, machine) -> Counter:
    sent = PASSES[kind] * size * (machine.gpus - 1) // machine.gpus
    return Counter({(kind, tuple(range(machine.gpus))): sent})


def strategies() -> dict:
    """Return the installed strategies by name: the function that counts each, and the one that derives it from that."""
    known = {'DDP': (replicate, None), 'DDP with ZeroRedundancyOptimizer (ZeRO-1)': (divide_state, None)}
    if find_spec('deepspeed'):
        known['DeepSpeedStrategy, stage 2 (ZeRO-2)'] = replicate, divide_gradients
    known['FullyShardedStrategy (ZeRO-3)'] = divide_all, None
    known['FullyShardedStrategy, offload=True'] = divide_all, offload
    return known


def plan(cfg: Config, total: int, size: tuple[int, int], machine: Machine) -> Iterator[Plan]:
    """Plan each strategy.

    Args:
        cfg (Config): Config of a segmentation or depth model in mmseg.
        total (int): Images in an update, a multiple of the number of GPUs.
        size (tuple[int, int]): Height and width of the images.
        machine (Machine): The GPUs.

    Raises:
        ValueError: The images cannot be divided over the GPUs, or the config cannot be counted.
    """
    check_config(cfg)
    each, rest = divmod(total, machine.gpus)
    if rest or not each:
        raise ValueError(
            f'--total-batch-size: expected a multiple of the {machine.gpus} GPUs, got {total}: choose another one, or '
            'a number of GPUs that divides it evenly'
        )
    cfg, steps = deepcopy(cfg), {}
    with pretend_processes(machine.gpus):
        for name, (count_it, derive) in strategies().items():
            for batch_size in (number for number in range(each, 0, -1) if each % number == 0):
                cfg.optim_wrapper.accumulative_counts = each // batch_size
                if (count_it, batch_size) not in steps:
                    steps[count_it, batch_size] = count_it(cfg, batch_size, size, machine)
                step = steps[count_it, batch_size]
                step = derive(step, machine) if derive else step
                fits = step.peak <= (1 - SPARE) * machine.memory
                if fits:
                    break
            yield predict(name, fits, batch_size, each // batch_size, step, machine)


def predict(name: str, fits: bool, batch_size: int, accumulated: int, step: Step, machine: Machine) -> Plan:
    """Predict the time of an update, in which a GPU sends while it computes as far as possible."""
    per_batch = machine.seconds(step.per_batch) + step.to_host / machine.host_bandwidth
    per_update = machine.seconds(step.per_update)
    sent = accumulated * sum(step.per_batch.values()) + sum(step.per_update.values())
    computing = seconds = None
    if machine.flops:
        computing = step.flops / machine.flops
        # Gradients are summed up during the last backward pass.
        exposed = max(0.0, per_update - BACKWARD * computing)
        seconds = accumulated * max(computing, per_batch) + exposed
        computing *= accumulated
    sending = accumulated * per_batch + per_update
    host = step.host * machine.per_node
    return Plan(name, fits, batch_size, accumulated, step.peak, host, sent, computing, sending, seconds)


HEADINGS = ('strategy', 'fits', 'batch', 'accumulated', 'GiB', 'GiB of CPU', 'GB sent', 'compute', 'send', 'update')


def rows(plans: list[Plan]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a table."""
    for each in plans:
        yield (
            each.strategy,
            'yes' if each.fits else 'no',
            str(each.batch_size),
            str(each.accumulated),
            f'{each.peak / GIB:.3g}',
            f'{each.host / GIB:.3g}' if each.host else '',
            f'{each.sent / 1e9:.3g}',
            *(
                f'{number:.3g} s' if number is not None else ''
                for number in (each.computing, each.sending, each.seconds)
            ),
        )


def advice(plans: list[Plan]) -> str:
    """Return a sentence about the first strategy that fits, or the fastest one if times are predicted."""
    fitting = [each for each in plans if each.fits]
    if not fitting:
        return (
            'No strategy fits: use a smaller image, gradient checkpointing (model.backbone.with_cp=True) or more GPUs.'
        )
    best = min(fitting, key=lambda each: each.seconds or each.sending)
    return (
        f'{best.strategy}: train_dataloader.batch_size={best.batch_size} '
        f'optim_wrapper.accumulative_counts={best.accumulated}'
    )
