"""Train all weights in less memory: bfloat16 weights, updates during the backward pass, an optimizer on the CPU."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from mmdiffperc.registry import OPTIM_WRAPPERS
from mmdiffperc.validation import Listed, PositiveInt, Text, validated


@OPTIM_WRAPPERS.register_module()
@validated
class LowMemoryOptimWrapper(OptimWrapper):
    """An optimizer wrapper with options that save memory, for full training on one small GPU.

    The options add to those of the optimizer: ``fused=True`` or ``foreach=False`` of PyTorch's AdamW needs no temporary
    copy of all weights, and ``AdamW8bit`` of `bitsandbytes <https://arxiv.org/abs/2110.02861>`_ keeps its state in
    8 bits. ``docs/memory.md`` compares the combinations.

    - ``dtype='bfloat16'`` runs the forward pass under autocast. Autocast usually keeps a cast copy of every weight
      until the end of the forward pass. Here it keeps none, so gradient checkpointing (``with_cp=True``) frees them.
    - ``bfloat16_weights`` stores weights, and so their gradients, in bfloat16. An update is computed in float32, one
      parameter at a time, and rounded up or down at random, in proportion to the distance: on average, nothing is lost.
      Rounding to the nearest value would drop all updates below 0.2 to 0.4 % of a weight. The optimizer's state stays
      in float32, or in the optimizer's own format. The weights are converted when the training starts, after all
      weights are loaded. Checkpoints contain them in bfloat16, and a model in any precision loads them.
    - ``step_in_backward`` updates each parameter during the backward pass, as soon as its gradient is complete, and
      frees the gradient.
    - ``offload='cpu'`` keeps the optimizer, its state and a float32 copy of the trained weights in the memory of the
      CPU. Gradients move there during the backward pass, and are accumulated there in float32. The CPU updates the
      copy, and the model receives the result. The arithmetic is that of training without this option.

    A run resumes exactly, with the same options and :class:`.RandomStateHook`.

    Args:
        optimizer (Optimizer): The optimizer of the trained parameters.
        dtype (str): ``'float32'``, or ``'bfloat16'`` for autocast in training. It needs no loss scale. For float16, use
            mmengine's ``AmpOptimWrapper``. Defaults to 'float32'.
        bfloat16_weights (Sequence[str], optional): Parts of parameter names, such as ``['backbone.unet']``: parameters
            whose name contains one of them become bfloat16. Needs ``dtype='bfloat16'``; validation during training then
            runs under autocast as well. Default: none.
        step_in_backward (bool): Update parameters during the backward pass. Cannot be combined with ``offload``,
            gradient accumulation or clipping by norm, which need all gradients at once. Defaults to False.
        offload (str, optional): The device of the optimizer, such as ``'cpu'``. Default: the device of the weights.
        accumulative_counts (int): Batches for each update, see ``OptimWrapper`` of mmengine. Defaults to 1.
        clip_grad (dict, optional): Gradient clipping, see ``OptimWrapper`` of mmengine.

    Raises:
        ValueError: Options cannot be combined; or, when the training starts, no parameter has one of the names, or
            processes share the gradients of the model, as under ``DistributedDataParallel``. Of the options, only
            ``dtype`` works there.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        dtype: Literal['float32', 'bfloat16'] = 'float32',
        bfloat16_weights: Listed[Text] | None = None,
        step_in_backward: bool = False,
        offload: Text | None = None,
        accumulative_counts: PositiveInt = 1,
        clip_grad: dict | None = None,
    ):
        check_combination(dtype, bfloat16_weights, step_in_backward, offload, accumulative_counts, clip_grad)
        super().__init__(optimizer, accumulative_counts, clip_grad)
        self.dtype = getattr(torch, dtype)
        self.bfloat16_weights = tuple(bfloat16_weights or ())
        self.step_in_backward = step_in_backward
        self._one_by_one = step_in_backward or (bool(bfloat16_weights) and not offload)
        self._before_step = OrderedDict()
        self._handles = []
        self._copies = move_optimizer(optimizer, torch.device(offload)) if offload else {}
        self._has_exact_copies = False  # of weights that are rounded in the model

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int):
        """Prepare the model, whose weights are loaded by now, and the counters of mmengine."""
        super().initialize_count_status(model, init_counts, max_counts)
        self._refuse_shared_gradients(model)
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if not self._has_exact_copies:
            self._copy_weights()  # before these are rounded
        if self.bfloat16_weights:
            to_bfloat16(model, self.bfloat16_weights)
            self._handles += run_under(model, self._autocast)
        self._handles += [each.register_post_accumulate_grad_hook(self._take_gradient) for each in self._copies]
        if self.step_in_backward:
            for group, each in self._trained():
                self._handles.append(each.register_post_accumulate_grad_hook(partial(self._update_now, group)))

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Return the context of the forward pass in training."""
        with super().optim_context(model), self._autocast(next(model.parameters()).device):
            yield

    def backward(self, loss: torch.Tensor, **kwargs):
        """Compute gradients, and with ``step_in_backward`` update the parameters."""
        if self.step_in_backward:
            self._call_before_step(kwargs)
        super().backward(loss, **kwargs)

    def step(self, **kwargs):
        """Update the parameters with their gradients."""
        if self.step_in_backward:
            return
        if not self._one_by_one:
            super().step(**kwargs)
            self._return_weights()
            return
        if self.clip_grad_kwargs:
            self._clip_grad()
        self._call_before_step(kwargs)
        for group, parameter in self._trained():
            if parameter.grad is not None:
                update_parameter(self.optimizer, group, parameter)

    def register_step_pre_hook(self, hook: Callable[[Optimizer, tuple, dict], Any]) -> RemovableHandle:
        """Register a hook like ``Optimizer.register_step_pre_hook``; it runs once for each update of all parameters.

        With ``step_in_backward``, it runs before the backward pass.
        """
        if not self._one_by_one:
            return self.optimizer.register_step_pre_hook(hook)
        handle = RemovableHandle(self._before_step)
        self._before_step[handle.id] = hook
        return handle

    def state_dict(self) -> dict:
        """Return the state of the optimizer, and the float32 copies of weights that the model has in bfloat16."""
        copies = {'copies': [copy.detach() for copy in self._copies.values()]} if self._keeps_copies else {}
        return super().state_dict() | copies

    def load_state_dict(self, state_dict: dict):
        """Load the state of the optimizer and the copies of the weights."""
        copies = state_dict.pop('copies', None)
        super().load_state_dict(state_dict)
        if self._keeps_copies and copies is not None:
            for copy, loaded in zip(self._copies.values(), copies, strict=True):
                copy.detach().copy_(loaded)
            self._has_exact_copies = True

    @property
    def _keeps_copies(self):
        return bool(self._copies and self.bfloat16_weights)

    def _autocast(self, device):
        # Without the cache, no cast copy of a weight outlives the module that uses it.
        return torch.autocast(device.type, torch.bfloat16, enabled=self.dtype != torch.float32, cache_enabled=False)

    def _refuse_shared_gradients(self, model):
        used = [name for name in ('bfloat16_weights', 'step_in_backward') if getattr(self, name)]
        used += ['offload'] if self._copies else []
        if used and (is_model_wrapper(model) or isinstance(model, FSDPModule)):
            raise ValueError(
                f'LowMemoryOptimWrapper: {", ".join(used)} cannot be combined with {type(model).__name__}: the option '
                'works in one process. Remove it, or train with the FSDP or DeepSpeed config of configs/vpd'
            )

    def _trained(self) -> Iterator[tuple[dict, nn.Parameter]]:
        for group in self.optimizer.param_groups:
            for parameter in group['params']:
                if parameter.requires_grad:
                    yield group, parameter

    def _call_before_step(self, kwargs):
        for hook in self._before_step.values():
            hook(self.optimizer, (), kwargs)

    @torch.no_grad()
    def _update_now(self, group, parameter):
        if self.clip_grad_kwargs:
            self.clip_func([parameter], **self.clip_grad_kwargs)
        update_parameter(self.optimizer, group, parameter)
        parameter.grad = None

    @torch.no_grad()
    def _take_gradient(self, parameter):
        copy = self._copies[parameter]
        gradient = parameter.grad.to(copy)
        copy.grad = gradient if copy.grad is None else copy.grad.add_(gradient)
        parameter.grad = None

    @torch.no_grad()
    def _copy_weights(self):
        for parameter, copy in self._copies.items():
            copy.copy_(parameter)
        self._has_exact_copies = self._keeps_copies

    @torch.no_grad()
    def _return_weights(self):
        for parameter, copy in self._copies.items():
            parameter.copy_(copy)


def check_combination(dtype, bfloat16_weights, step_in_backward, offload, accumulative_counts, clip_grad):
    """Refuse options that exclude each other.

    Raises:
        ValueError: The message names both options.
    """

    def refuse(problem):
        raise ValueError(f'LowMemoryOptimWrapper: {problem}')

    if bfloat16_weights and dtype != 'bfloat16':
        refuse(f"bfloat16_weights needs dtype='bfloat16', got dtype={dtype!r}: set it")
    if offload and not is_device(offload):
        refuse(f"expected offload='cpu', or another device, got {offload!r}")
    if not step_in_backward:
        return
    advice = 'remove one of them'
    if offload:
        refuse(f'step_in_backward cannot be combined with offload, which frees gradients, too; {advice}')
    if accumulative_counts > 1:
        refuse(
            f'step_in_backward frees each gradient, so it cannot be combined with accumulative_counts='
            f'{accumulative_counts}; {advice}'
        )
    if clip_grad and clip_grad.get('type', 'norm') == 'norm':
        refuse(
            f'step_in_backward cannot be combined with clip_grad={clip_grad}, because the norm needs all gradients at '
            f"once; {advice}, or clip with type='value'"
        )


def is_device(name: str) -> bool:
    """Return whether PyTorch knows a device of this name."""
    try:
        return bool(torch.device(name))
    except RuntimeError:
        return False


def move_optimizer(optimizer: Optimizer, device: torch.device) -> dict[nn.Parameter, nn.Parameter]:
    """Let an optimizer without state train float32 copies, on another device, of the parameters that require gradients.

    mmengine builds the optimizer before it loads weights, so the copies have no values yet.

    Returns:
        dict[nn.Parameter, nn.Parameter]: The copy of each parameter.
    """
    copies = {}
    for group in optimizer.param_groups:
        for parameter in filter(lambda each: each.requires_grad, group['params']):
            is_pinned = parameter.is_cuda and device.type == 'cpu'  # pinned memory is faster to copy from and to a GPU
            empty = torch.empty(parameter.shape, dtype=torch.float32, device=device, pin_memory=is_pinned)
            copies[parameter] = nn.Parameter(empty)
        group['params'] = [copies.get(parameter, parameter) for parameter in group['params']]
    return copies


@torch.no_grad()
def to_bfloat16(model: nn.Module, keys: tuple[str, ...]):
    """Convert the parameters whose names contain one of the keys.

    Raises:
        ValueError: A key is contained in no name.
    """
    parameters = dict(model.named_parameters())
    for key in keys:
        if not any(key in name for name in parameters):
            raise ValueError(
                f'LowMemoryOptimWrapper: bfloat16_weights: no parameter of {type(model).__name__} has {key!r} in its '
                f'name; the names start with {sorted({name.partition(".")[0] for name in parameters})}'
            )
    for name, parameter in parameters.items():
        if any(key in name for key in keys) and parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.bfloat16)


def run_under(model: nn.Module, context: Callable[[torch.device], Any]) -> list[RemovableHandle]:
    """Run each call of a model under a context, which gets the model's device.

    Returns:
        list[RemovableHandle]: Handles that end this.
    """
    entered = []

    def begin(module, args):
        entered.append(context(next(module.parameters()).device))
        entered[-1].__enter__()

    def end(module, args, output):
        entered.pop().__exit__(None, None, None)

    return [model.register_forward_pre_hook(begin), model.register_forward_hook(end, always_call=True)]


@torch.no_grad()
def update_parameter(optimizer: Optimizer, group: dict, parameter: nn.Parameter):
    """Perform the step of an optimizer for one parameter, in float32.

    Args:
        optimizer (Optimizer): Any optimizer that updates each parameter independently of the others.
        group (dict): The parameter's group.
        parameter (nn.Parameter): The parameter, with its gradient. A bfloat16 parameter is rounded stochastically.
    """
    groups, members = optimizer.param_groups, group['params']
    trained = parameter
    if parameter.dtype == torch.bfloat16:
        trained = nn.Parameter(parameter.float())
        trained.grad = parameter.grad.float()
        _move_state(optimizer, parameter, trained)
    optimizer.param_groups, group['params'] = [group], [trained]
    try:
        optimizer.step()
    finally:
        optimizer.param_groups, group['params'] = groups, members
    if trained is not parameter:
        _move_state(optimizer, trained, parameter)
        trained.grad = None
        round_stochastically(trained, parameter)


def _move_state(optimizer, old, new):
    if old in optimizer.state:
        optimizer.state[new] = optimizer.state.pop(old)


def round_stochastically(source: torch.Tensor, target: torch.Tensor):
    """Round float32 values to one of the two nearest bfloat16 values, so that the expected value is exact.

    bfloat16 is the upper half of float32. A random number below one unit of the last place is added before the lower
    half is cut off.

    Args:
        source (Tensor): Values in float32.
        target (Tensor): bfloat16 tensor of the same shape, which receives the rounded values.
    """
    bits = source.detach().view(torch.int32)
    rounded = torch.randint(2**16, bits.shape, dtype=torch.int32, device=bits.device)
    rounded.add_(bits).bitwise_and_(-(2**16))
    target.copy_(rounded.view(torch.float32))
