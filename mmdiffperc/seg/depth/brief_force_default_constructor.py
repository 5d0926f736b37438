"""mmseg's optimizer wrapper constructor for VPD's depth estimation, with a short log."""

from mmseg.engine import ForceDefaultOptimWrapperConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS

from mmdiffperc.engine.grouped_constructor import LogsGroups
from mmdiffperc.validation import validated


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
@validated
class BriefForceDefaultOptimWrapperConstructor(LogsGroups, ForceDefaultOptimWrapperConstructor):
    """mmseg's ``ForceDefaultOptimWrapperConstructor``, which logs one line per kind of parameters.

    The parameter groups, and therefore the optimizer state in a checkpoint, are the same.
    """
