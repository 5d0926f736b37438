"""Stop before a NaN reaches the weights, and report its source: the sample, the loss, the module."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import BaseOptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from mmdiffperc.files import brief
from mmdiffperc.finite import first_non_finite
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import PositiveInt, validated

MAX_NAMES = 8
RUNNING_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')  # of batch norm
ADVICE = (
    'Repair or remove samples that are not finite. If all are finite, lower the learning rate, clip the gradients '
    '(optim_wrapper.clip_grad), or train in single precision.'
)


@HOOKS.register_module()
@validated
class CheckFiniteHook(Hook):
    """Stop training at the first loss, or norm of the gradients, that is NaN or infinite.

    Both are checked right before the optimizer's step, so the weights are still those of the previous iteration and the
    last checkpoint is unchanged. The message names the iteration, the samples of the batch, the values in the batch
    that are not finite, and the first module whose output is not finite. To find that module, the hook repeats the
    forward pass.

    With gradient accumulation, every batch is checked. With a loss scaler (``AmpOptimWrapper``), a step that the scaler
    skips is not an error; the log has a warning if the loss is not finite either. All processes stop together. Under
    DeepSpeed, whose engine performs the step, and with ``step_in_backward`` of :class:`.LowMemoryOptimWrapper`, only
    the loss is checked.

    Args:
        action (str): ``'stop'``, or ``'skip'``, which drops the update, restores the running statistics of batch norm,
            logs a warning and continues. Defaults to 'stop'.
        patience (int): Stop training after this many consecutive updates that this hook or the loss scaler skipped.
            Defaults to 20.

    Raises:
        ValueError: Before training: the updates of the optimizer cannot be skipped.
        FloatingPointError: During training: a loss or a gradient is not finite.
    """

    # After RuntimeInfoHook; before averaged weights, the log, the schedules and the checkpoint.
    priority = 'HIGH'

    def __init__(self, action: Literal['stop', 'skip'] = 'stop', patience: PositiveInt = 20):
        self.action = action
        self.patience = patience
        self._handles = []
        self._num_skipped = 0  # consecutive updates
        self._spoilt = False  # a batch of the update being accumulated was not finite

    def before_train(self, runner: Runner):
        """Register hooks on the steps of the optimizers and on the losses of the model."""
        self.after_train(runner)
        wrappers = each_wrapper(runner.optim_wrapper)
        self._optimizers = [each.optimizer for each in wrappers if isinstance(each.optimizer, Optimizer)]
        if self.action == 'skip' and not self._optimizers:
            raise ValueError(
                f"CheckFiniteHook: action='skip' needs a PyTorch optimizer, but {type(wrappers[0]).__name__} has none; "
                "use action='stop'"
            )
        if self.action == 'skip' and any(getattr(each, 'step_in_backward', False) for each in wrappers):
            raise ValueError(
                "CheckFiniteHook: action='skip' cannot be combined with step_in_backward=True, because some weights "
                "are already updated when a gradient turns out not to be finite; use action='stop'"
            )
        self._scaled = any(hasattr(each, 'loss_scaler') for each in wrappers)
        model = unwrap(runner.model)
        self._statistics = []
        if self._scaled or self.action == 'skip':
            self._statistics = [buffer for name, buffer in model.named_buffers() if name.endswith(RUNNING_STATISTICS)]
        before_step = partial(self._before_step, runner)
        steps = [each if hasattr(each, 'register_step_pre_hook') else each.optimizer for each in wrappers]
        steps = [each for each in steps if hasattr(each, 'register_step_pre_hook')]
        self._handles = [each.register_step_pre_hook(before_step) for each in steps]
        self._handles.append(model.register_forward_hook(self._keep_losses))

    def after_train(self, runner: Runner):
        """Remove the hooks of :meth:`before_train`."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None):
        """Keep the data and states that are needed to repeat the forward pass of this iteration."""
        self._batch, self._losses, self._stepped = data_batch, {}, False
        self._cpu_state = torch.get_rng_state()
        self._gpu_state = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        self._kept_statistics = [statistic.clone() for statistic in self._statistics]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None):
        """Check an iteration without a step: it accumulated gradients, or the loss scaler skipped the step."""
        if self._stepped:
            return
        if not self._scaled:
            self._spoilt |= not self._check(runner, self._optimizers)
            return
        if not self._is_finite([]):
            runner.logger.warning(self._report(runner))
            self._restore_statistics()
        if all(each.should_update() for each in each_wrapper(runner.optim_wrapper)):
            self._count_skipped(runner)

    @torch.compiler.disable  # in compiled training, hooks stay outside of the graph
    def _keep_losses(self, model, args, output):
        if isinstance(output, dict):
            losses = {name: value for name, value in output.items() if 'loss' in name}  # as mmengine sums them
            self._losses = {name: value.detach() for name, value in flatten(losses)}

    @torch.compiler.disable
    def _before_step(self, runner, optimizer, args, kwargs):
        # A fused optimizer itself skips the step and divides the gradients by the scale.
        overflow = getattr(optimizer, 'found_inf', None)
        if overflow is not None and overflow.item():
            return
        self._stepped = True
        if self._check(runner, [optimizer] if overflow is None else []) and not self._spoilt:
            self._num_skipped = 0
            return
        self._spoilt = False
        optimizer.zero_grad()  # without gradients, a step changes nothing
        self._count_skipped(runner)

    def _check(self, runner, optimizers):
        """If a loss or gradient is not finite, stop, or warn and return False."""
        if self._is_finite(optimizers):
            return True
        report = self._report(runner)
        if self.action == 'stop':
            raise FloatingPointError(f'{report} The last checkpoint is unchanged.')
        runner.logger.warning(report)
        self._restore_statistics()
        for optimizer in optimizers:
            optimizer.zero_grad()  # so that the next batch of an accumulated update is checked separately
        return False

    def _is_finite(self, optimizers):
        """Return whether losses and gradients are finite in all processes; the CPU waits for the GPU only here."""
        numbers = [loss.float().sum() for loss in self._losses.values()]
        gradients = [gradient for optimizer in optimizers for gradient in gradients_of(optimizer)]
        if gradients:
            numbers.append(total_norm(gradients))
        numbers = torch.stack([number.to(numbers[0].device) for number in numbers]) if numbers else torch.zeros(1)
        finite = numbers.isfinite().all().float()
        all_reduce(finite, 'min')
        return bool(finite)

    def _count_skipped(self, runner):
        self._num_skipped += 1
        if self._num_skipped >= self.patience:
            raise FloatingPointError(
                f'CheckFiniteHook: {place(runner)}: losses or gradients were not finite, and the update was skipped, '
                f'{self._num_skipped} times in a row; last samples: {listed(sample_names(self._batch))}. {ADVICE}'
            )

    def _restore_statistics(self):
        for statistic, kept in zip(self._statistics, self._kept_statistics, strict=True):
            statistic.copy_(kept)

    def _report(self, runner):
        reports = all_gather_object(self._describe(runner))
        if len(set(reports)) > 1:
            reports = [f'Process {rank}: {report}' for rank, report in enumerate(reports)]
        return f'CheckFiniteHook: {place(runner)}: {" ".join(dict.fromkeys(reports))} {ADVICE}'

    def _describe(self, runner):
        """Describe the values that are not finite in this process."""
        model = unwrap(runner.model)
        losses = [f'{name} = {loss.sum().item()}' for name, loss in self._losses.items() if not loss.isfinite().all()]
        finished, found = self._run_again(runner, model)
        parts = [
            ', '.join(losses) or describe_gradients(model, finished),
            f'samples: {listed(sample_names(self._batch))}',
        ]
        if entries := non_finite_entries(self._batch):
            parts.append(f'not finite in the batch: {listed(entries)}')
        if found:
            parts.append(f'first module whose output is not finite: {found}')
        elif losses and finished:
            parts.append(f'the outputs of all modules within {type(model).__name__} are finite')
        return '; '.join(parts) + '.'

    def _run_again(self, runner, model):
        """Repeat the forward pass of this iteration and check every module."""

        def forward():
            torch.set_rng_state(self._cpu_state)
            if self._gpu_state is not None:
                torch.cuda.set_rng_state(self._gpu_state)
            with torch.no_grad(), runner.optim_wrapper.optim_context(runner.model):
                runner.model._run_forward(model.data_preprocessor(self._batch, True), mode='loss')

        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        try:
            with torch.random.fork_rng(devices):
                return watch_forward(model, forward)
        except Exception as error:  # the NaN must be reported, whatever fails
            reason = f'{type(error).__name__}: {brief(str(error), 300)}'
            runner.logger.warning(f'CheckFiniteHook could not repeat the forward pass: {reason}')
            return [], None


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model without the wrapper that distributes it."""
    return model.module if is_model_wrapper(model) else model


def each_wrapper(wrapper: BaseOptimWrapper) -> list[BaseOptimWrapper]:
    """Return the optimizer wrapper of each optimizer."""
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def gradients_of(optimizer: Optimizer) -> list[torch.Tensor]:
    """Return the dense gradients of an optimizer's parameters."""
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group['params']]
    return [gradient for gradient in gradients if gradient is not None and gradient.layout == torch.strided]


def total_norm(gradients: list[torch.Tensor]) -> torch.Tensor:
    """Return the norm of all gradients, of the parts in all processes if they are sharded."""
    norm = get_total_norm(gradients)
    return norm.full_tensor() if hasattr(norm, 'full_tensor') else norm


def place(runner: Runner) -> str:
    """Return the iteration, counted as in the log, and the epoch if the loop has several."""
    return f'iteration {runner.iter + 1}' + (f' (epoch {runner.epoch + 1})' if runner.max_epochs > 1 else '')


def flatten(value: Any, name: str = '') -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the names, such as ``data_samples.1.gt.data``, and tensors in nested containers, data samples and boxes."""
    if isinstance(value, np.ndarray) and value.dtype.kind == 'f':
        value = torch.from_numpy(value)
    value = getattr(value, 'tensor', value)  # the boxes of mmdet
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    entries = ()
    if isinstance(value, (Mapping, BaseDataElement)):
        entries = value.items()
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    for key, entry in entries:
        yield from flatten(entry, f'{name}.{key}' if name else str(key))


def sample_names(batch: Any) -> list[str]:
    """Return the image files of a batch, or the indices of samples without one."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    paths = [sample.get('img_path') if isinstance(sample, BaseDataElement) else None for sample in samples or []]
    return [f'sample {index}' if path is None else brief(path, 200) for index, path in enumerate(paths)]


def non_finite_entries(batch: Any) -> list[str]:
    """Return the non-finite entries of a batch, such as ``inputs of kitchen/3.png``."""
    samples, found = dict(enumerate(sample_names(batch))), []
    for name, tensor in flatten(batch):
        if is_finite(tensor):
            continue
        field, _, rest = name.partition('.')
        index, _, entry = rest.partition('.')
        if index.isdigit():  # a list of samples
            indices, field = [int(index)], entry or field
        elif tensor.dim():  # a stack of samples
            bad = ~tensor.isfinite().reshape(len(tensor), -1).all(1)
            indices, field = bad.nonzero()[:, 0].tolist(), name
        else:
            indices = [0]
        found += [f'{field} of {samples.get(index, f"sample {index}")}' for index in indices]
    return found


def watch_forward(model: nn.Module, forward: Callable[[], Any]) -> tuple[list[nn.Module], str | None]:
    """Run a forward pass and check the output of every module.

    The output of the model itself is not checked, because it also holds measures, which may well be NaN.

    Returns:
        tuple[list[nn.Module], str | None]: The modules in the order in which they finished, and a description of the
        first one whose output is not finite.
    """
    names, finished, found = named_parts(model), [], []

    def check(module, args, output):
        if module not in names:
            return
        finished.append(module)
        if found or is_finite(output):
            return
        if is_finite(args) or list(module.parameters()):  # dropout and the like only pass on a NaN
            weight = first_non_finite(dict(module.named_parameters(recurse=False)))
            cause = f'{weight} is not finite' if weight else f'input is {"" if is_finite(args) else "not "}finite'
            found.append(f'{names[module]}, whose {cause}')

    with register_module_forward_hook(check):
        forward()
    return finished, found[0] if found else None


def named_parts(model: nn.Module) -> dict[nn.Module, str]:
    """Return the submodules of a model with their names and types."""
    return {part: f'{name} ({type(part).__name__})' for name, part in model.named_modules() if part is not model}


def is_finite(value: Any) -> bool:
    """Return whether all tensors in nested containers are finite."""
    return first_non_finite(dict(flatten(value))) is None


def describe_gradients(model: nn.Module, finished: list[nn.Module]) -> str:
    """Describe which gradients are not finite after a backward pass, and in which module the first of them appeared.

    Args:
        model (nn.Module): The model.
        finished (list[nn.Module]): Its modules in the order in which the forward pass finished them.
    """
    gradients = {parameter: parameter.grad for parameter in model.parameters() if parameter.grad is not None}
    bad = {parameter for parameter, gradient in gradients.items() if not is_finite(gradient)}
    if not bad:
        overflows = not total_norm(list(gradients.values())).isfinite()
        return f'all gradients are finite{", but their norm overflows" if overflows else ""}'
    text = f'the gradients of {len(bad)} of {len(gradients)} parameters are not finite'
    reached = (module for module in reversed(finished) if bad.intersection(module.parameters(recurse=False)))
    first = next(reached, None)
    if first is None or len(bad) == len(gradients):  # clipping by a norm that is NaN makes all of them NaN
        return text
    return f'{text}, from {named_parts(model)[first]} on'


def listed(names: list[str]) -> str:
    """Join the first few names."""
    more = f', and {len(names) - MAX_NAMES} more' if len(names) > MAX_NAMES else ''
    return (', '.join(names[:MAX_NAMES]) or 'unknown') + more
