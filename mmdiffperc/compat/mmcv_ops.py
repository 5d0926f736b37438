"""Make ``mmcv.ops`` importable on mmcv-lite, which has the Python half of the operators but not ``mmcv._ext``.

``mmseg.models`` and ``mmdet.models`` import ``mmcv.ops`` even if they use none of its operators. A stand-in extension
provides non-maximum suppression, RoIAlign and deformable convolution with torchvision; every other operator raises an
error that names it when it is called. ``DeformConv2d``, which DEKR's head uses, therefore works; its modulated variant
(DCNv2) has other operators. Nothing happens if full mmcv is installed, or no mmcv at all.

Delete when mmcv-lite leaves ``mmcv.ops`` importable, or when mmcv has wheels for the torch versions in use.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

EXTENSION = 'mmcv._ext'


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Suppress non-maximum boxes, with the signature of mmcv's compiled operator.

    Args:
        boxes (Tensor): ``(N, 4)`` corners ``x1, y1, x2, y2``.
        scores (Tensor): ``(N,)``.
        iou_threshold (float): A box that overlaps a better one by more than this is removed.
        offset (int): 0, or 1 if a width is ``x2 - x1 + 1``.

    Returns:
        Tensor: Indices of the remaining boxes, best score first.
    """
    # Imported here: torchvision is a dependency of the hosts, not of the core.
    from torchvision.ops import nms as torchvision_nms

    # Moving the far corner by ``offset`` is the same as adding it to every width, height and overlap.
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    return torchvision_nms(boxes, scores, iou_threshold)


def roi_align_forward(inputs: Tensor, rois: Tensor, output: Tensor, *argmax: Tensor, pool_mode: int, **options):
    """Average each cell of each region, with the signature of mmcv's compiled operator.

    Args:
        inputs (Tensor): Features ``(B, C, h, w)``.
        rois (Tensor): ``(N, 5)`` regions: index of the image, corners ``x1, y1, x2, y2``.
        output (Tensor): Receives the result ``(N, C, aligned_height, aligned_width)``.
        *argmax (Tensor): Not used.
        pool_mode (int): 1 for the average; 0, the maximum, is not supported.
        **options: ``aligned_height``, ``aligned_width``, ``spatial_scale``, ``sampling_ratio``, ``aligned``.

    Raises:
        NotImplementedError: ``pool_mode`` is not 1.
    """
    if pool_mode != 1:
        raise missing_operator("roi_align with pool_mode='max'")
    output.copy_(_roi_align(inputs, rois, **options))


def roi_align_backward(
    grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor, pool_mode: int, **options
):
    """Write the gradient of :func:`roi_align_forward` to ``grad_input``."""
    with torch.enable_grad():
        inputs = torch.zeros_like(grad_input, requires_grad=True)  # the gradient does not depend on their values
        output = _roi_align(inputs, rois, **options)
    grad_input.copy_(torch.autograd.grad(output, inputs, grad_output)[0])


def _roi_align(inputs, rois, aligned_height, aligned_width, spatial_scale, sampling_ratio, aligned):
    from torchvision.ops import roi_align  # a dependency of the hosts, as above

    return roi_align(inputs, rois, (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned)


def deform_conv_forward(inputs: Tensor, weight: Tensor, offset: Tensor, output: Tensor, *buffers: Tensor, **options):
    """Convolve deformably, with the signature of mmcv's compiled operator.

    Args:
        inputs (Tensor): ``(B, C, h, w)``.
        weight (Tensor): ``(C', C / groups, kH, kW)``.
        offset (Tensor): ``(B, 2 * deform_groups * kH * kW, h', w')`` in pixels, y before x.
        output (Tensor): Receives the result ``(B, C', h', w')``.
        *buffers (Tensor): Not used.
        **options: ``kH kW dH dW padH padW dilationH dilationW``. The shapes determine the numbers of groups.
    """
    output.copy_(_deform_convolve(inputs, offset, weight, options))


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
    """Write the gradients of the inputs and offsets to ``grad_input`` and ``grad_offset``."""
    found = _deform_gradients(inputs, offset, weight, grad_output, options)
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
    """Add the gradient of the weight, times ``scale``, to ``grad_weight``."""
    weight = torch.zeros_like(grad_weight)  # the gradient does not depend on its values
    grad_weight.add_(_deform_gradients(inputs, offset, weight, grad_output, options)[2], alpha=scale)


def _deform_convolve(inputs, offset, weight, options) -> Tensor:
    from torchvision.ops import deform_conv2d  # a dependency of the hosts, as above

    stride, padding, dilation = ((options[f'{name}H'], options[f'{name}W']) for name in ('d', 'pad', 'dilation'))
    return deform_conv2d(inputs, offset, weight, stride=stride, padding=padding, dilation=dilation)


def _deform_gradients(inputs, offset, weight, grad_output, options) -> tuple[Tensor, ...]:
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in (inputs, offset, weight)]
        output = _deform_convolve(*leaves, options)
    return torch.autograd.grad(output, leaves, grad_output)


def missing_operator(name: str) -> NotImplementedError:
    """Return the error for an operator that mmcv-lite does not have."""
    return NotImplementedError(
        f'The operator `{name}` needs the compiled extension of mmcv, and mmcv-lite is installed. '
        'Install full mmcv (`pip uninstall mmcv-lite`, then `pip install mmcv==2.1.0`, which compiles it), '
        'or choose a model that does not use this operator.'
    )


class MissingExtension(ModuleType):
    """Stand in for ``mmcv._ext`` with every operator; operators that are not implemented raise when called."""

    nms = staticmethod(nms)
    roi_align_forward = staticmethod(roi_align_forward)
    roi_align_backward = staticmethod(roi_align_backward)
    deform_conv_forward = staticmethod(deform_conv_forward)
    deform_conv_backward_input = staticmethod(deform_conv_backward_input)
    deform_conv_backward_parameters = staticmethod(deform_conv_backward_parameters)
    # ``mmcv.utils.collect_env`` prints them.
    get_compiler_version = get_compiling_cuda_version = staticmethod(lambda: 'n/a')

    def __getattr__(self, name: str) -> Callable:
        """Return a callable that raises; special names stay absent, as on any module without them."""
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise missing_operator(name)

        return missing


def _lacks_extension() -> bool:
    """Return whether mmcv is installed without its extension, found out without importing mmcv."""
    if EXTENSION in sys.modules:
        return False
    mmcv = find_spec('mmcv')
    return mmcv is not None and PathFinder.find_spec(EXTENSION, mmcv.submodule_search_locations) is None


def install() -> None:
    """Put the stand-in in place if, and only if, mmcv-lite is what is installed."""
    if _lacks_extension():
        extension = MissingExtension(EXTENSION)
        # ``pkgutil.find_loader`` reads the spec; a loader of None keeps ``mmengine.mmcv_full_available()`` False.
        extension.__spec__ = ModuleSpec(EXTENSION, None)
        sys.modules[EXTENSION] = extension
