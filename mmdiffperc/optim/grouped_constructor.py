"""Few parameter groups instead of one per parameter."""

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmdiffperc.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmdiffperc.validation import validated

from .parameter_summary import describe_groups, without_line_per_parameter


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
@validated
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, with parameters of the same options in one group.

    The default makes a group of every parameter as soon as there is a ``paramwise_cfg``. A diffusion U-Net has
    hundreds, and optimizer and schedulers work group by group: grouped, an optimizer of torch updates many parameters
    at once. Rates, decays and so the weights stay the same. A checkpoint's optimizer state resumes only in a run with
    the same constructor.

    The log gets one line per group instead of one per parameter: learning rate, weight decay, number of tensors and
    weights, and the parts of the model. The last line counts what is frozen.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module=None):
        """Add the parameters of ``module`` to ``params``; merge and log the groups of the whole model.

        Args:
            params (list[dict]): Parameter groups, changed in place.
            module (nn.Module): The model, or one of its submodules.
            prefix (str): Name of the submodule; empty for the model.
            is_dcn_module (bool, optional): Whether the submodule belongs to a deformable convolution.
        """
        if prefix:
            super().add_params(params, module, prefix, is_dcn_module)
            return
        with without_line_per_parameter():
            super().add_params(params, module, prefix, is_dcn_module)
        params[:] = merge_groups(params)
        defaults = dict(lr=self.base_lr, weight_decay=self.base_wd)
        summary = describe_groups(
            [defaults | group for group in params], module, self.paramwise_cfg.get('custom_keys', ())
        )
        print_log(f'Parameters to train:\n{summary}', logger='current')


def merge_groups(groups: list[dict]) -> list[dict]:
    """Merge parameter groups that differ in nothing but their ``params``, in order of first appearance."""
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
