"""Let the prompts of a backbone see the sentences of the data samples, whatever the host."""

from mmengine.model import BaseModel
from torch import nn

from mmdiffperc.models.backbones import DiffusionUNet
from mmdiffperc.models.prompts.base_prompts import SENTENCE
from mmdiffperc.models.prompts.sample_sentences import enter_call, leave_call

from .dispatcher import model_check


@model_check
def share_sentences(model: nn.Module, name: str, part: nn.Module | None):
    """Note the data samples at every call of a model whose backbone's prompts read sentences."""
    if isinstance(part, DiffusionUNet) and part.prompts.condition == SENTENCE and isinstance(model, BaseModel):
        model.register_forward_pre_hook(_enter, with_kwargs=True)
        model.register_forward_hook(_leave, always_call=True)


def _enter(model, args, kwargs):
    enter_call(args[1] if len(args) > 1 else kwargs.get('data_samples'))


def _leave(model, args, output):
    leave_call()
