"""Count the memory of a training step without running it.

PyTorch's ``MemTracker`` counts the tensors of a step whose operations run under ``FakeTensorMode``: shapes and types
are computed, values are not. The count needs neither a GPU nor the memory that it counts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from mmengine.optim import OptimWrapper
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from mmdiffperc.sharded_tensors import local_part

aten = torch.ops.aten
# Where the tensors of a count pretend to be. Without a GPU, a backward pass works only on the CPU, which therefore
# stands for the GPU. Offloaded tensors have no backward pass, and can pretend to be anywhere else.
DEVICE, HOST = torch.device('cpu'), torch.device('cuda', 0)
# What autocast computes in float32 on a GPU, but not on a CPU.
IN_FLOAT32 = {
    F.group_norm,
    F.layer_norm,
    F.softmax,
    F.log_softmax,
    F.cross_entropy,
    torch.softmax,
    torch.Tensor.softmax,
}


class StepMemory(NamedTuple):
    """Bytes of a training step.

    Args:
        weights (int): Parameters and buffers.
        optimizer_state (int): State of the optimizer between steps, on the device of the weights.
        gradients (int): Gradients of the parameters at the end of the backward pass.
        activations (int): What the forward pass keeps for the backward pass.
        peak (int): The highest sum of all tensors at any time.
        host (int): The highest sum of all tensors on the device to which the optimizer is offloaded.
    """

    weights: int
    optimizer_state: int
    gradients: int
    activations: int
    peak: int
    host: int


def count_step(
    model: nn.Module,
    build_wrapper: Callable[[nn.Module], OptimWrapper],
    build_loss: Callable[[nn.Module], Callable[[], torch.Tensor]],
    watchers: Sequence[AbstractContextManager] = (),
) -> StepMemory:
    """Count the memory of a training step: forward pass, backward pass and update.

    The step is the last one of an update in the middle of training: the optimizer has its state, and with gradient
    accumulation, the gradients of earlier batches are there. On a GPU, PyTorch rounds each tensor up to 512 bytes, as
    here. Its allocator, the workspaces of cuDNN and the context of CUDA need more.

    Args:
        model (nn.Module): The model, on the meta device. Its parameters are replaced.
        build_wrapper (Callable): Builds the optimizer wrapper of the model, and may shard the model first. An optimizer
            to offload goes to ``HOST``. Of a sharded model, the memory of one process is counted.
        build_loss (Callable): Returns a function that computes the loss of a batch, which it creates at once.
        watchers (Sequence[AbstractContextManager]): Contexts in which the counted step runs, such as dispatch modes
            that count other things.
    """
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode())
        stack.enter_context(_WorstCase())
        _materialise(model)
        wrapper = build_wrapper(model)
        _choose_as_on_gpu(wrapper.optimizer)
        wrapper.initialize_count_status(model, 0, -1)
        stack.enter_context(_AutocastOfGpu())
        _keep_in_recomputation(model)
        tracker = _Tracker()
        tracker.track_external(model, *_offloaded(wrapper.optimizer))
        stack.enter_context(tracker)
        return _count(model, wrapper, build_loss(model), tracker, watchers)


def _materialise(model):
    """Replace weights on the meta device; tied ones stay tied, which ``Module._apply`` would not ensure."""
    made = {}

    def replace(tensors, kind):
        for name, tensor in tensors.items():
            if tensor is not None:
                if tensor not in made:
                    made[tensor] = kind(torch.empty(tensor.shape, dtype=tensor.dtype, device=DEVICE))
                    made[tensor].requires_grad_(tensor.requires_grad)
                tensors[name] = made[tensor]

    for module in model.modules():
        replace(module._parameters, partial(nn.Parameter, requires_grad=False))
        replace(module._buffers, lambda empty: empty)


def _count(model, wrapper, loss, tracker, watchers) -> StepMemory:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    counts = wrapper._accumulative_counts
    for _ in range(2 * counts - 1):  # an update, which creates the state, and all batches of the next but the last
        wrapper.update_params(sum(local_part(parameter).sum() for parameter in trained))
    state = {id(each): each for values in wrapper.optimizer.state.values() for each in _tensors(values)}
    tracker.forget_peak()
    before = _allocated(tracker)
    with ExitStack() as stack:
        for watcher in watchers:
            stack.enter_context(watcher)
        with wrapper.optim_context(model):
            total = loss()
        activations = _allocated(tracker) - before
        wrapper.backward(wrapper.scale_loss(total))
        del total
        gradients = sum(local_part(parameter.grad).nbytes for parameter in trained if parameter.grad is not None)
        wrapper.step()
        wrapper.zero_grad()
    peak = tracker.get_tracker_snapshot('peak')
    return StepMemory(
        weights=sum(local_part(each).nbytes for each in (*model.parameters(), *model.buffers())),
        optimizer_state=sum(local_part(each).nbytes for each in state.values() if each.device == DEVICE),
        gradients=gradients,
        activations=activations,
        peak=peak[DEVICE]['Total'],
        host=peak.get(HOST, {}).get('Total', 0),
    )


def _allocated(tracker) -> int:
    return tracker.get_tracker_snapshot()[DEVICE]['Total']


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    return (value for value in state.values() if isinstance(value, torch.Tensor))


def _offloaded(optimizer) -> list[nn.Parameter]:
    parameters = (parameter for group in optimizer.param_groups for parameter in group['params'])
    return [parameter for parameter in parameters if parameter.device == HOST]


def _choose_as_on_gpu(optimizer):
    """Choose the multi-tensor implementation where PyTorch's optimizers do on a GPU."""
    for group in optimizer.param_groups:
        is_open = group.get('foreach', False) is None and not group.get('fused')
        if is_open and all(parameter.device == DEVICE for parameter in group['params']):
            group['foreach'] = True


class _Tracker(MemTracker):
    """Count without what is not needed here: the peak of each module, which takes most of the time, and hooks.

    MemTracker registers hooks on all parameters, which frozen ones refuse, in order to tell gradients from activations.
    """

    def _track_module_params_and_buffers(self, module, install_grad_hooks=False):
        return super()._track_module_params_and_buffers(module, install_grad_hooks=False)

    def forget_peak(self):
        """Start anew. When sharded tensors are first used, PyTorch computes with whole ones to learn their sizes."""
        self._peak_mem.clear()
        self._peak_mem_snap.clear()
        self._update_peak_stats(None)

    def _update_peak_stats(self, peak_state):
        for device, snapshot in self._curr_mem_snap.items():
            if self._peak_mem.get(device, 0) < snapshot['Total']:
                self._peak_mem[device] = snapshot['Total']
                self._peak_mem_snap[device] = dict(snapshot)


class _AutocastOfGpu(TorchFunctionMode):
    """Under autocast, compute in float32 what a GPU computes in float32."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in IN_FLOAT32 or not torch.is_autocast_enabled(DEVICE.type):
            return function(*args, **kwargs)
        args, kwargs = tree_map_only(torch.Tensor, _to_float32, (args, kwargs))
        with torch.autocast(DEVICE.type, enabled=False):
            return function(*args, **kwargs)


def _keep_in_recomputation(model):
    """Enter the mode in modules, because under gradient checkpointing PyTorch leaves it in the backward pass."""
    entered = []

    def begin(module, args):
        entered.append(_AutocastOfGpu())
        entered[-1].__enter__()

    def end(module, args, output):
        entered.pop().__exit__(None, None, None)

    for module in model.modules():
        if isinstance(module, (nn.GroupNorm, nn.LayerNorm, Attention)):
            module.register_forward_pre_hook(begin)
            module.register_forward_hook(end, always_call=True)


def _to_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


class _WorstCase(TorchDispatchMode):
    """Answer what depends on values, which are unknown: masks select everything, flags are false, numbers are 1."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is aten._local_scalar_dense.default:
            return 1 if args[0].dtype != torch.bool else False
        if function is aten.nonzero.default:
            return args[0].new_empty((args[0].numel(), args[0].dim()), dtype=torch.long)
        if function is aten.masked_select.default:
            return args[0].new_empty(args[1].numel())
        if function in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
            args = (args[0], [index for mask in args[1] for index in _indices(mask)], *args[2:])
        return function(*args, **(kwargs or {}))


def _indices(index: torch.Tensor | None) -> list[torch.Tensor | None]:
    """Return the indices that a mask of true values selects."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    return [index.new_empty(index.numel(), dtype=torch.long) for _ in range(index.dim())]
