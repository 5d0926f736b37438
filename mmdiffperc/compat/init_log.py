"""Log one line per kind of initialisation instead of mmengine's three lines per parameter.

``BaseModule._dump_init_info`` (``mmengine/model/base_module.py``) writes 1,600 lines for the smallest diffusion U-Net.

Delete when mmengine logs parameters with the same initialisation on one line.
"""

from collections import defaultdict
from functools import wraps

from mmengine.dist import master_only
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.parameter_names import common_modules


def describe_initialisation(model: nn.Module, info: dict[nn.Parameter, dict]) -> str:
    """Describe how the parameters of a model were initialised, one line per kind of initialisation.

    Args:
        model (nn.Module): The model.
        info (dict[nn.Parameter, dict]): mmengine's record of each parameter, which has ``init_info``.
    """
    alike = defaultdict(list)
    for name, parameter in model.named_parameters():
        alike[info[parameter]['init_info'].strip()].append(name)
    return '\n'.join(
        f'{len(names)} tensors of {", ".join(common_modules(names))}: {how}' for how, names in alike.items()
    )


def install() -> None:
    """Make every model of mmengine log its initialisation in this form."""

    @master_only
    @wraps(BaseModule._dump_init_info)
    def log_initialisation(model):
        summary = describe_initialisation(model, model._params_init_info)
        print_log(f'Initialisation of {type(model).__name__}:\n{summary}', logger='current')

    BaseModule._dump_init_info = log_initialisation
