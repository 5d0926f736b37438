"""The parts of models of mmsegmentation that can be exported."""

from collections.abc import Callable

import torch
from mmseg.models import DepthEstimator, EncoderDecoder
from mmseg.models.utils import Upsample
from torch import nn

from mmdiffperc.export.part import Part
from mmdiffperc.export.parts import backbone_inputs, backbone_sizes

from .referring.referring_segmentor import ReferringSegmentor


def segmentor_parts(model: nn.Module) -> dict[str, Callable[[nn.Module], Part]]:
    """Return the functions that make the parts of a segmentor or depth estimator, besides its backbone."""
    return dict(model=whole_part) if isinstance(model, EncoderDecoder) else {}


def whole_part(model: EncoderDecoder) -> Part:
    """Return the whole model for one window or image: logits, or the depth in metres, in the size of the image.

    Raises:
        ValueError: See :func:`.backbone_inputs`.
    """
    if isinstance(model, DepthEstimator):
        outputs = dict(depth='depth in metres (B, 1, H, W)')
    else:
        outputs = dict(logits=f'logits of {model.out_channels} classes (B, {model.out_channels}, H, W)')
    test = 'one forward pass; the sliding windows and flips of test_cfg are not part of the graph'
    return Part(
        Dense(model),
        backbone_inputs(model.backbone),
        outputs,
        size=model.test_cfg.get('crop_size'),
        metadata=dict(test=test),
        **backbone_sizes(model.backbone),
    )


class Dense(nn.Module):
    """A segmentor or depth estimator whose inputs are tensors.

    Args:
        model (EncoderDecoder): The model, in which mmseg's ``Upsample`` is replaced by PyTorch's.
    """

    def __init__(self, model: EncoderDecoder):
        super().__init__()
        self.model = model
        for name, module in list(self.named_modules()):
            # mmseg's forward converts the size to numbers, which fixes it in a graph.
            if isinstance(module, Upsample) and module.scale_factor:
                same = nn.Upsample(None, module.scale_factor, module.mode, module.align_corners)
                self.set_submodule(name, same)

    def forward(self, image: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Predict ``(B, C, H, W)`` for images ``(B, 3, H, W)`` and the condition of the backbone's prompts."""
        inputs = image if condition is None else (image, condition)
        # ReferringSegmentor's method reads sentences, but here their hidden states are given.
        kind = EncoderDecoder if isinstance(self.model, ReferringSegmentor) else type(self.model)
        return kind.encode_decode(self.model, inputs, [dict(img_shape=image.shape[2:])])
