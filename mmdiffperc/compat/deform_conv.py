"""Deformable convolution for mmcv-lite: torchvision's, with the signatures of mmcv's compiled operators.

``mmcv.ops.DeformConv2d``, which DEKR's head uses, then works. Its modulated kind (DCNv2) has operators of its own.

Delete together with :mod:`mmdiffperc.compat.mmcv_ops`, which puts these in place.
"""

import torch
from torch import Tensor


def deform_conv_forward(inputs: Tensor, weight: Tensor, offset: Tensor, output: Tensor, *buffers: Tensor, **options):
    """Convolve.

    Args:
        inputs (Tensor): ``(B, C, h, w)``.
        weight (Tensor): ``(C', C / groups, kH, kW)``.
        offset (Tensor): ``(B, 2 * deform_groups * kH * kW, h', w')``: where to look, y before x.
        output (Tensor): Takes the result ``(B, C', h', w')``.
        *buffers (Tensor): Not used.
        **options: ``kH kW dH dW padH padW dilationH dilationW``. Numbers of groups follow from the shapes.
    """
    output.copy_(_convolve(inputs, offset, weight, options))


def deform_conv_backward_input(
    inputs: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    *buffers: Tensor,
    **options,
):
    """Compute the gradients with respect to inputs and offsets; ``grad_input`` and ``grad_offset`` take them."""
    found = _gradients(inputs, offset, weight, grad_output, options)
    grad_input.copy_(found[0])
    grad_offset.copy_(found[1])


def deform_conv_backward_parameters(
    inputs: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    *buffers: Tensor,
    scale: float = 1,
    **options,
):
    """Gradient with respect to the weight, times ``scale``; it is added to ``grad_weight``."""
    weight = torch.zeros_like(grad_weight)  # the gradient does not depend on its values
    grad_weight.add_(_gradients(inputs, offset, weight, grad_output, options)[2], alpha=scale)


def _convolve(inputs, offset, weight, options) -> Tensor:
    # Imported here: torchvision is a dependency of the hosts, not of the core.
    from torchvision.ops import deform_conv2d

    stride, padding, dilation = ((options[f'{name}H'], options[f'{name}W']) for name in ('d', 'pad', 'dilation'))
    return deform_conv2d(inputs, offset, weight, stride=stride, padding=padding, dilation=dilation)


def _gradients(inputs, offset, weight, grad_output, options) -> tuple[Tensor, ...]:
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in (inputs, offset, weight)]
        output = _convolve(*leaves, options)
    return torch.autograd.grad(output, leaves, grad_output)
