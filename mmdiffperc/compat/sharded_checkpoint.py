"""Sharded checkpoints: folders that several processes write and read in parallel, without any pickled objects.

``torch.distributed.checkpoint`` saves each process's part of each tensor, and another number of processes can load
them. Its usual storage is not safe to load: the reader calls ``pickle.load`` for the file ``.metadata``, and
``torch.load(weights_only=False)`` for all that is not a tensor, so both execute code in a checkpoint. Its storage in
safetensors files has neither, but holds only tensors. A folder here therefore holds

- ``shard-*.safetensors``, a file of each process with its parts of the weights and of the optimizer's state, and
- ``state.pth``, everything else, which :func:`.load_file` reads without executing anything in it.

:func:`load_whole` reads a folder in one process. All tools use it where they get a folder instead of a file.

Delete when ``torch.distributed.checkpoint`` reads metadata and objects without executing anything in them.
"""

import math
import shutil
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from mmengine.dist import all_gather_object, barrier, broadcast_object_list, is_main_process
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from mmdiffperc.files import brief, whole_folder
from mmdiffperc.sharded_tensors import local_part

STATE, SIZES = 'state.pth', 'sizes'
WEIGHTS, OPTIMIZER = 'state_dict', 'optimizer'
SEPARATOR = '/'


def is_sharded(path: str | Path) -> bool:
    """Return whether a path is the folder of a sharded checkpoint."""
    return Path(path, STATE).is_file()


def save_shards(folder: str | Path, tensors: dict[str, Tensor], state: dict) -> None:
    """Write a sharded checkpoint. All processes call this together; the folder appears when it is complete.

    Args:
        folder (str | Path): The folder to create or replace. All processes must see the same file system.
        tensors (dict[str, Tensor]): Sharded tensors and replicated ones, of which the first process's are stored.
        state (dict): Everything else; the first process's is stored.

    Raises:
        RuntimeError: PyTorch is too old, or another process failed.
    """
    writer, _ = _storage()
    folder = Path(folder)
    # To keep the running statistics of the first process, as without sharding.
    planner = dcp.DefaultSavePlanner(dedup_save_to_lowest_rank=True)
    with whole_folder(folder) if is_main_process() else nullcontext() as partial:
        names = [str(partial)]
        broadcast_object_list(names)
        dcp.save(_separate(tensors), storage_writer=writer(names[0], save_distributed=True), planner=planner)
        state = state | {SIZES: {name: list(tensor.shape) for name, tensor in tensors.items()}}
        call_together(lambda: _finish(folder, names[0], state) if is_main_process() else None)
    barrier()


def _separate(tensors):
    """Copy tied weights, which safetensors files cannot hold."""
    separate, seen = {}, set()
    for name, tensor in tensors.items():
        storage = local_part(tensor).untyped_storage().data_ptr()
        separate[name] = tensor.detach().clone() if storage in seen else tensor.detach()
        seen.add(storage)
    return separate


def _finish(folder, partial, state):
    torch.save(state, Path(partial, STATE))
    if folder.is_dir():  # of a run that was resumed from an earlier checkpoint
        shutil.rmtree(folder)


def read_index(folder: str | Path) -> dict[str, TensorStorageMetadata]:
    """Return size, type and parts of each tensor of a sharded checkpoint.

    Raises:
        RuntimeError: A file is damaged, or PyTorch is too old.
    """
    _, reader = _storage()
    try:
        return reader(str(folder)).read_metadata().state_dict_metadata
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RuntimeError(f'{folder} is damaged: {type(error).__name__}: {brief(str(error))}') from error


def read_state(folder: str | Path, load: Callable[[Path], dict]) -> tuple[dict, dict[str, TensorStorageMetadata]]:
    """Read everything but the tensors, and check that these are complete.

    Args:
        folder (str | Path): The folder of a sharded checkpoint.
        load (Callable): Loads the file ``state.pth``.

    Returns:
        tuple[dict, dict]: The rest of the checkpoint, and the index of :func:`read_index`.

    Raises:
        RuntimeError: A file is missing or damaged, or PyTorch is too old.
    """
    state, index = load(Path(folder, STATE)), read_index(folder)
    sizes = {name: tuple(size) for name, size in state.pop(SIZES, {}).items()}
    for name in sizes | index:
        stored = sum(math.prod(chunk.sizes) for chunk in index[name].chunks) if name in index else 0
        size = tuple(index[name].size) if name in index else None
        if size != sizes.get(name) or stored != math.prod(size):
            raise RuntimeError(
                f'{folder} is incomplete: of {brief(name)}, {stored} numbers of a tensor of size {sizes.get(name)} are '
                'there. Copy all of its files, or use another checkpoint.'
            )
    return state, index


def load_shards(folder: str | Path, part: str, tensors: dict[str, Tensor], is_alone: bool = False) -> None:
    """Read tensors of a part of a checkpoint in place.

    Args:
        folder (str | Path): The folder.
        part (str): The part, ``WEIGHTS`` or ``OPTIMIZER``.
        tensors (dict[str, Tensor]): Tensors of the part by name, sharded in any way or not at all.
        is_alone (bool): Whether only this process reads. Otherwise, all processes call this together. Defaults to
            False.

    Raises:
        RuntimeError: PyTorch is too old.
        ValueError: A tensor has another size than the stored one.
    """
    _, reader = _storage()
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='torch.distributed is disabled')
        dcp.load(_named(part, tensors), storage_reader=reader(str(folder)), no_dist=is_alone)


def load_whole(folder: str | Path, load: Callable[[Path], dict]) -> dict:
    """Read a sharded checkpoint in this process; it then equals one that was saved in a file.

    Args:
        folder (str | Path): The folder.
        load (Callable): Loads the file ``state.pth``.

    Raises:
        RuntimeError: A file is missing or damaged, or PyTorch is too old.
    """
    content, index = read_state(folder, load)

    def load_part(part):
        tensors = {
            name: torch.empty(each.size, dtype=each.properties.dtype) for name, each in pick(index, part).items()
        }
        load_shards(folder, part, tensors, is_alone=True)
        return tensors

    content[WEIGHTS].update(load_part(WEIGHTS))
    if OPTIMIZER in content:
        join_optimizer(content[OPTIMIZER], load_part(OPTIMIZER))
    return content


def split(checkpoint: dict, names: list[str]) -> tuple[dict[str, Tensor], dict]:
    """Split a checkpoint into its weights and optimizer state, and everything else.

    Args:
        checkpoint (dict): The checkpoint, as without sharding.
        names (list[str]): Names of the optimizer's parameters, in the order of their numbers.

    Returns:
        tuple[dict[str, Tensor], dict]: The tensors by their names in the folder, and the rest, in which the optimizer
        has names of parameters instead of numbers.
    """
    weights, state = checkpoint[WEIGHTS], dict(checkpoint)
    tensors = _named(WEIGHTS, {name: value for name, value in weights.items() if isinstance(value, Tensor)})
    state[WEIGHTS] = {name: value for name, value in weights.items() if not isinstance(value, Tensor)}
    if optimizer := checkpoint.get(OPTIMIZER):
        others = {}
        for number, values in optimizer['state'].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[SEPARATOR.join((OPTIMIZER, names[number], key))] = value
                else:
                    others.setdefault(number, {})[key] = value
        groups = [dict(group, params=[names[each] for each in group['params']]) for group in optimizer['param_groups']]
        state[OPTIMIZER] = dict(optimizer, state=others, param_groups=groups)
    return tensors, state


def join_optimizer(optimizer: dict, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of :func:`split` back into the state of the optimizer, and numbers for names of parameters."""
    names = parameter_names(optimizer)
    numbers = {name: number for number, name in enumerate(names)}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition(SEPARATOR)
        optimizer['state'].setdefault(numbers[parameter], {})[key] = tensor
    for group in optimizer['param_groups']:
        group['params'] = [numbers[name] for name in group['params']]


def _named(part, tensors):
    return {part + SEPARATOR + name: tensor for name, tensor in tensors.items()}


def pick(tensors: dict[str, Any], part: str) -> dict[str, Any]:
    """Return the entries of a part of a checkpoint, without its name."""
    prefix = part + SEPARATOR
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def parameter_names(optimizer: dict) -> list[str]:
    """Return the names of the parameters of a stored optimizer, in the order of their numbers."""
    return [name for group in optimizer['param_groups'] for name in group['params']]


def call_together(function: Callable[[], Any]) -> Any:
    """Call a function in all processes; if it fails in one, all raise an error instead of waiting for that one.

    Raises:
        RuntimeError: It failed in another process.
    """
    result = problem = None
    try:
        result = function()
    except Exception as error:
        problem = error
    problems = all_gather_object(None if problem is None else f'{type(problem).__name__}: {problem}')
    if problem:
        raise problem
    for rank, message in enumerate(problems):
        if message:
            raise RuntimeError(f'process {rank} failed: {message}')
    return result


def _storage() -> tuple[type, type]:
    """Return the writer and the reader of safetensors files."""
    try:
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
    except ImportError as error:
        raise RuntimeError(
            f'Sharded checkpoints need torch 2.9 or newer, got {torch.__version__}: update it, or set '
            "checkpoints='full' of FullyShardedStrategy"
        ) from error
    return HuggingFaceStorageWriter, HuggingFaceStorageReader
