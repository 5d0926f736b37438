"""Few parameter groups instead of one per parameter."""

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmdiffperc.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmdiffperc.validation import validated

from .parameter_summary import LogsGroups, merge_groups


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
@validated
class GroupedOptimWrapperConstructor(LogsGroups, DefaultOptimWrapperConstructor):
    """mmengine's default constructor, with parameters of the same options in one group.

    The default makes a group of every parameter as soon as there is a ``paramwise_cfg``. A diffusion U-Net has
    hundreds, and optimizer and schedulers work group by group: grouped, an optimizer of torch updates many parameters
    at once. Rates, decays and so the weights stay the same. A checkpoint's optimizer state resumes only in a run with
    the same constructor.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module=None):
        """Add the parameters of ``module`` to ``params``; merge the groups when all of the model's are there."""
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:
            params[:] = merge_groups(params)
