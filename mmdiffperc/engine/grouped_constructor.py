"""Merge parameter groups with the same options, and log a line about each group."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging import LogRecord

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

from mmdiffperc.parameter_names import common_modules
from mmdiffperc.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmdiffperc.validation import validated

# The lines that mmengine's constructor logs for each parameter.
LINE_PER_PARAMETER = re.compile(r'paramwise_options -- |.* is skipped since its requires_grad=False')
EIGHT_BIT = re.compile(r'8bit$')
HEADER = ('lr', 'weight_decay', 'tensors', 'weights', 'custom_keys', 'part')


class LogsGroups:
    """Mixin for optimizer wrapper constructors: log a line per group of parameters instead of one per parameter.

    A line holds the learning rate, the weight decay, the numbers of tensors and weights, the ``custom_keys`` that
    apply, and the parts of the model. The last line counts the frozen parameters.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module=None):
        """Add the parameters of ``module`` to ``params``, as in mmengine; log the groups of the whole model."""
        if prefix:
            super().add_params(params, module, prefix, is_dcn_module)
            return
        with without_line_per_parameter():
            super().add_params(params, module, prefix, is_dcn_module)
        defaults = dict(lr=self.base_lr, weight_decay=self.base_wd)
        groups = merge_groups([defaults | group for group in params if group['params'][0].requires_grad])
        summary = describe_groups(groups, module, self.paramwise_cfg.get('custom_keys', ()))
        print_log(f'Parameters to train:\n{summary}', logger='current')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
@validated
class GroupedOptimWrapperConstructor(LogsGroups, DefaultOptimWrapperConstructor):
    """mmengine's default constructor, except that parameters with the same options share a group.

    With a ``paramwise_cfg``, the default constructor makes a separate group for every parameter. A diffusion U-Net has
    hundreds of them, and the optimizer and the schedulers iterate over groups; a PyTorch optimizer updates the
    parameters of a group at once. The trained weights are the same. The optimizer state of a checkpoint can be resumed
    only with the same constructor.

    Raises:
        ValueError: When the optimizer is built: its name is that of an 8-bit optimizer, but bitsandbytes, which has
            these, is not installed or has none of this name.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper."""
        check_optimizer(self.optimizer_cfg['type'])
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module=None):
        """Add the parameters of ``module`` to ``params``, as in mmengine; merge the groups of the whole model."""
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:
            params[:] = merge_groups(params)


def check_optimizer(kind: str | type):
    """Refuse an 8-bit optimizer that mmengine has not found.

    Raises:
        ValueError: The message names the package and its optimizers.
    """
    if isinstance(kind, str) and EIGHT_BIT.search(kind) and kind not in OPTIMIZERS:
        found = ', '.join(sorted(filter(EIGHT_BIT.search, OPTIMIZERS.module_dict)))
        advice = f'expected one of {found}' if found else "install it with pip install 'mmdiffperc[memory]'"
        raise ValueError(f'optimizer type={kind!r}: this is not an optimizer of an installed bitsandbytes; {advice}')


def merge_groups(groups: list[dict]) -> list[dict]:
    """Merge parameter groups that differ only in their ``params``, in order of first appearance."""
    merged = []
    for group in groups:
        options = {key: value for key, value in group.items() if key != 'params'}
        for other in merged:
            if options == {key: value for key, value in other.items() if key != 'params'}:
                other['params'] += group['params']
                break
        else:
            merged.append(dict(options, params=list(group['params'])))
    return merged


def describe_groups(groups: Iterable[dict], model: nn.Module, custom_keys: Iterable[str] = ()) -> str:
    """Return a table with a row for each parameter group, and a row for the frozen parameters.

    In the table, a part is the longest module name that all parameters of a group share within a submodule of the
    model, such as ``backbone.unet``.

    Args:
        groups (Iterable[dict]): Parameter groups with their ``lr`` and ``weight_decay``.
        model (nn.Module): The model of these parameters.
        custom_keys (Iterable[str]): The keys of ``paramwise_cfg.custom_keys``.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def row(lr, decay, parameters, keys):
        own = [names[id(parameter)] for parameter in parameters]
        numbers = len(parameters), f'{sum(parameter.numel() for parameter in parameters):,}'
        return lr, decay, *numbers, ', '.join(matching_keys(own, keys)), ', '.join(common_modules(own))

    rows = [row(group.get('lr'), group.get('weight_decay'), group['params'], custom_keys) for group in groups]
    if frozen := [parameter for parameter in model.parameters() if not parameter.requires_grad]:
        rows.append(row('frozen', '', frozen, ()))
    return _table([HEADER, *rows])


@contextmanager
def without_line_per_parameter() -> Iterator[None]:
    """Keep mmengine's lines about single parameters out of the log; other lines, as about duplicates, remain."""

    def keep(record: LogRecord) -> bool:
        return not LINE_PER_PARAMETER.match(record.getMessage())

    logger = MMLogger.get_current_instance()
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def matching_keys(names: Iterable[str], custom_keys: Iterable[str]) -> list[str]:
    """Return the keys that set the options of named parameters: as in mmengine, the longest key contained in a name."""
    longest_first = sorted(sorted(custom_keys), key=len, reverse=True)
    matches = (next((key for key in longest_first if key in name), None) for name in names)
    return [key for key in dict.fromkeys(matches) if key is not None]


def _table(rows) -> str:
    """Align numbers to the right, and the two columns of names to the left."""
    columns = zip(
        *([f'{cell:g}' if isinstance(cell, float) else str(cell) for cell in row] for row in rows), strict=True
    )
    *numbers, keys, parts = ([cell.rjust(max(map(len, column))) for cell in column] for column in columns)
    return '\n'.join('  '.join(row).rstrip() for row in zip(*numbers, _to_left(keys), _to_left(parts), strict=True))


def _to_left(column) -> list[str]:
    return [cell.strip().ljust(len(cell)) for cell in column]
