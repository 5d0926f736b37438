"""A pretended GPU: models run on it without arithmetic, and what passes between it and the host is listed.

The tensors are those of PyTorch's ``FakeTensorMode``, which have a shape, a type and a device, and no values. An
operation whose tensors are on different devices fails, as on a real GPU.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import mmdiffperc

GPU = torch.device('cuda', 0)
OURS = f'{Path(mmdiffperc.__file__).parent}/'
STAND_INS = f'{OURS}compat/'  # for what hosts bring along
PACKAGES = Path(mmengine.__file__).parents[1]
HOSTS = tuple(f'{PACKAGES / name}/' for name in ('mmengine', 'mmcv', 'mmseg', 'mmdet', 'mmpose'))
aten = torch.ops.aten


class Traffic(TorchDispatchMode):
    """List what passes between the GPU and the host: copies, and results for which the host has to wait.

    An entry of ``found`` names the line of our package and what it causes. What a library does that we call, such as
    diffusers, counts as caused by us; what a host does is left out.

    No values are known, so answers to questions about them are made up: a number is 1, and a mask covers everything.

    Args:
        truth (bool): The answer to the question whether something is true.
    """

    def __init__(self, truth: bool):
        super().__init__()
        self.truth = truth
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation, or answer in place of it."""
        answer = ANSWERS.get(func.overloadpacket, _run)
        return answer(self, func, *args, **kwargs or {})

    def note(self, what: str):
        """Add an entry, unless a host causes it."""
        if line := _our_line():
            self.found[f'{line}: {what}'] += 1

    def note_wait(self, tensor: torch.Tensor, what: str):
        """Add an entry if the tensor is on the GPU."""
        if tensor.device == GPU:
            self.note(what)


def _our_line() -> str | None:
    """Return the line of our package that is running; None if it is inside a host."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith((*HOSTS, STAND_INS)):
            return None
        if name.startswith(OURS):
            return f'{name.removeprefix(OURS)} {frame.f_code.co_name}, line {frame.f_lineno}'
        frame = frame.f_back
    return None


def _run(traffic, func, *args, **kwargs):
    return func(*args, **kwargs)


def _copy(traffic, func, *args, **kwargs):
    """Note a copy between devices. ``aten.copy_`` has its source second."""
    result = func(*args, **kwargs)
    source = args[1] if func.overloadpacket is aten.copy_ else args[0]
    if isinstance(source, torch.Tensor) and source.device != result.device:
        traffic.note(f'copy from {source.device.type} to {result.device.type}')
    return result


def _number(traffic, func, tensor):
    traffic.note_wait(tensor, 'the host reads a number')
    if not isinstance(tensor, FakeTensor):  # of the host, so it has a value
        with torch.utils._python_dispatch._disable_current_modes():
            return tensor.item()
    try:
        return func(tensor)
    except DataDependentOutputException:
        return traffic.truth if tensor.dtype == torch.bool else 1.0 if tensor.is_floating_point() else 1


def _nonzero(traffic, func, tensor):
    traffic.note_wait(tensor, 'the host waits for the size of nonzero')
    return tensor.new_zeros((tensor.numel(), tensor.dim()), dtype=torch.long)


def _index(traffic, func, tensor, indices, *args, **kwargs):
    """Replace masks by indices of all that they cover."""
    value = args[0] if args else None
    found = []
    for index in indices:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            found.append(index)
            if index is not None and index.device != tensor.device:
                traffic.note(f'indices on {index.device.type}')
        else:
            if value is None or value.numel() > 1:  # PyTorch fills with a single value
                traffic.note_wait(tensor, 'the host waits for the size of a selection')
            found += [index.new_zeros(index.numel(), dtype=torch.long) for _ in range(index.dim())]
    return func(tensor, found, *args, **kwargs)


def _masked_select(traffic, func, tensor, mask):
    traffic.note_wait(tensor, 'the host waits for the size of a selection')
    return tensor.expand(mask.shape).reshape(-1)


def _unique(traffic, func, tensor, *args, **kwargs):
    traffic.note_wait(tensor, 'the host waits for the size of unique')
    counts = tensor.new_zeros(tensor.numel(), dtype=torch.long)
    return tensor.reshape(-1), counts.reshape(tensor.shape), counts


def _nms(traffic, func, boxes, *args):
    traffic.note_wait(boxes, 'the host waits for the size of NMS')
    return boxes.new_zeros(len(boxes), dtype=torch.long)


ANSWERS = {
    aten._local_scalar_dense: _number,
    aten.nonzero: _nonzero,
    aten.index: _index,
    aten.index_put: _index,
    aten.index_put_: _index,
    aten._index_put_impl_: _index,
    aten.masked_select: _masked_select,
    aten._unique2: _unique,
    aten._to_copy: _copy,
    aten.copy_: _copy,
    torch.ops.torchvision.nms: _nms,
}


@contextmanager
def pretended_gpu(truth: bool = False) -> Iterator[Traffic]:
    """Pretend that there is a GPU.

    Args:
        truth (bool): See :class:`Traffic`.

    Yields:
        Traffic: What has passed so far.
    """
    traffic = Traffic(truth)

    def to_array(tensor, *args, **kwargs):
        traffic.note_wait(tensor, 'the host reads an array')
        return np.ones(tensor.shape, str(tensor.dtype).removeprefix('torch.'))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeTensor, 'numpy', to_array, raising=False)
        with FakeTensorMode(allow_non_fake_inputs=True), traffic:
            yield traffic


def put_on_gpu(model: nn.Module) -> nn.Module:
    """Replace all parameters and buffers of a model by pretended ones, while a GPU is pretended."""
    fakes = {}

    def fake(tensor):
        if id(tensor) not in fakes:
            fakes[id(tensor)] = torch.empty(tensor.shape, dtype=tensor.dtype, device=GPU)
        return fakes[id(tensor)]

    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(fake(weight), weight.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = fake(buffer)
    return model
