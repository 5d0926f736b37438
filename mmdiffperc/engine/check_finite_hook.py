"""Stop before a NaN reaches the weights."""

from functools import partial
from typing import Any, Literal

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from mmdiffperc.files import brief
from mmdiffperc.generative.save_lora_hook import unwrap
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import PositiveInt, validated

from .non_finite_report import describe_gradients, flatten, listed, non_finite_entries, sample_names, watch_forward

RUNNING_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')
ADVICE = (
    'Repair or remove samples that are not finite. If all are finite, lower the learning rate, clip the gradients '
    '(optim_wrapper.clip_grad), or train in single precision.'
)


@HOOKS.register_module()
@validated
class CheckFiniteHook(Hook):
    """Stop a training at the first loss, or norm of the gradients, that is NaN or infinite.

    Both are looked at right before the optimizer's step, so the weights are still those of the iteration before, and
    the last checkpoint stays as it is. The message names the iteration, the samples of the batch, what in the batch is
    not finite, and the first module with an output that is not; for that the forward pass is run again.

    With gradient accumulation, each batch is looked at. With a loss scaler (``AmpOptimWrapper``), a step that the
    scaler skips is no fault; the log has a warning if the loss, too, was not finite. All processes stop together.
    Under DeepSpeed, whose engine makes the step, only the loss is looked at.

    Args:
        action (str): ``'stop'``, or ``'skip'``, which drops the update, restores the running statistics of batch norm,
            warns and continues. Defaults to 'stop'.
        patience (int): The number of updates in a row, skipped by this hook or by the loss scaler, that stops the
            training. Defaults to 20.

    Raises:
        ValueError: When building: another action, or a patience below 1. Before training: an optimizer whose updates
            cannot be skipped.
        FloatingPointError: During training: something is not finite.
    """

    # After RuntimeInfoHook; before averaged weights, the log, the schedules and the checkpoint.
    priority = 'HIGH'

    def __init__(self, action: Literal['stop', 'skip'] = 'stop', patience: PositiveInt = 20):
        self.action = action
        self.patience = patience
        self._handles = []
        self._num_skipped = 0  # in a row
        self._spoilt = False  # a batch of the update that is being accumulated was not finite

    def before_train(self, runner: Runner):
        """Attach to the steps of the optimizers and to the losses of the model."""
        self.after_train(runner)
        wrappers = each_wrapper(runner.optim_wrapper)
        self._optimizers = [each.optimizer for each in wrappers if isinstance(each.optimizer, Optimizer)]
        if self.action == 'skip' and not self._optimizers:
            raise ValueError(
                f"CheckFiniteHook: action='skip' needs an optimizer of torch, {type(wrappers[0]).__name__} has none; "
                "use action='stop'"
            )
        self._scaled = any(hasattr(each, 'loss_scaler') for each in wrappers)
        model = unwrap(runner.model)
        self._statistics = running_statistics(model) if self._scaled or self.action == 'skip' else []
        before_step = partial(self._before_step, runner)
        self._handles = [each.register_step_pre_hook(before_step) for each in self._optimizers]
        self._handles.append(model.register_forward_hook(self._keep_losses))

    def after_train(self, runner: Runner):
        """Detach from them."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None):
        """Keep what is needed to run the forward pass of this iteration again."""
        self._batch, self._losses, self._stepped = data_batch, {}, False
        self._random_state = random_state()
        self._kept_statistics = [statistic.clone() for statistic in self._statistics]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None):
        """Look at an iteration without a step: it accumulated gradients, or the loss scaler skipped the step."""
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

    @torch.compiler.disable  # in a compiled training, hooks stay outside of the graph
    def _keep_losses(self, model, args, output):
        if isinstance(output, dict):
            losses = {name: value for name, value in output.items() if 'loss' in name}  # as mmengine sums them
            self._losses = {name: value.detach() for name, value in flatten(losses)}

    @torch.compiler.disable
    def _before_step(self, runner, optimizer, args, kwargs):
        # A loss scaler leaves it to a fused optimizer to skip the step, and to divide the gradients by the scale.
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
        """Stop, or warn and return False, if something is not finite."""
        if self._is_finite(optimizers):
            return True
        report = self._report(runner)
        if self.action == 'stop':
            raise FloatingPointError(f'{report} The last checkpoint is unchanged.')
        runner.logger.warning(report)
        self._restore_statistics()
        for optimizer in optimizers:
            optimizer.zero_grad()  # so that the next batch of an accumulated update is judged by itself
        return False

    def _is_finite(self, optimizers):
        """Return whether losses and gradients are finite in all processes. Only here does the CPU wait for the GPU."""
        numbers = [loss.float().sum() for loss in self._losses.values()]
        gradients = [gradient for optimizer in optimizers for gradient in gradients_of(optimizer)]
        if gradients:
            numbers.append(get_total_norm(gradients))
        numbers = torch.stack([number.to(numbers[0].device) for number in numbers]) if numbers else torch.zeros(1)
        finite = numbers.isfinite().all().float()
        all_reduce(finite, 'min')
        return bool(finite)

    def _count_skipped(self, runner):
        self._num_skipped += 1
        if self._num_skipped >= self.patience:
            raise FloatingPointError(
                f'CheckFiniteHook: {place(runner)}: losses or gradients were not finite, and the update was skipped, '
                f'{self._num_skipped} times in a row; the last samples: {listed(sample_names(self._batch))}. {ADVICE}'
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
        """Say what is not finite in this process."""
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
            parts.append(f'first module with an output that is not finite: {found}')
        elif losses and finished:
            parts.append(f'the outputs of all modules within {type(model).__name__} are finite')
        return '; '.join(parts) + '.'

    def _run_again(self, runner, model):
        """Watch the forward pass of this iteration."""

        def forward():
            set_random_state(*self._random_state)
            with torch.no_grad(), runner.optim_wrapper.optim_context(runner.model):
                runner.model._run_forward(model.data_preprocessor(self._batch, True), mode='loss')

        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        try:
            with torch.random.fork_rng(devices):
                return watch_forward(model, forward)
        except Exception as error:  # whatever it is, the user has to hear of the NaN
            reason = f'{type(error).__name__}: {brief(str(error), 300)}'
            runner.logger.warning(f'CheckFiniteHook could not run the batch again: {reason}')
            return [], None


def each_wrapper(wrapper: BaseOptimWrapper) -> list[BaseOptimWrapper]:
    """Return one optimizer wrapper, or those of several optimizers."""
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def gradients_of(optimizer: Optimizer) -> list[torch.Tensor]:
    """Return the dense gradients of an optimizer's parameters."""
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group['params']]
    return [gradient for gradient in gradients if gradient is not None and gradient.layout == torch.strided]


def running_statistics(model: nn.Module) -> list[torch.Tensor]:
    """Return the buffers that a forward pass of batch norm changes."""
    return [buffer for name, buffer in model.named_buffers() if name.rpartition('.')[2] in RUNNING_STATISTICS]


def random_state() -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the states of torch's generators: of the CPU, and of the GPU if one is in use."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None


def set_random_state(cpu: torch.Tensor, gpu: torch.Tensor | None):
    """Set what :func:`random_state` returned."""
    torch.set_rng_state(cpu)
    if gpu is not None:
        torch.cuda.set_rng_state(gpu)


def place(runner: Runner) -> str:
    """Return the iteration, as the log counts, and the epoch if the loop has several."""
    return f'iteration {runner.iter + 1}' + (f' (epoch {runner.epoch + 1})' if runner.max_epochs > 1 else '')
