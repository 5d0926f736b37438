import copy
import pickle

import torch

from mmdiffperc.models.layers.on_device import MOST, DeviceCopies, timestep_on

CPU = torch.device('cpu')


def counted():
    """A function that makes a tensor, and the list of its calls."""
    calls = []

    def make():
        calls.append(len(calls))
        return torch.tensor([1.0, 2.0, 5.0])

    return make, calls


def test_each_tensor_is_made_once():
    copies, (make, calls) = DeviceCopies(), counted()
    first = copies.get('numbers', make, CPU)
    assert copies.get('numbers', make, CPU) is first and first.tolist() == [1, 2, 5]
    assert copies.get('numbers', make, CPU, torch.float16).dtype == torch.float16
    assert copies.get('others', make, torch.device('meta')).is_meta
    assert len(calls) == 3


def test_the_oldest_are_forgotten():
    copies, (make, calls) = DeviceCopies(), counted()
    for key in range(MOST + 2):
        copies.get(key, make, CPU)
    copies.get(MOST + 1, make, CPU)
    assert len(calls) == MOST + 2
    copies.get(0, make, CPU)
    assert len(calls) == MOST + 3


def test_copies_start_empty():
    copies, (make, calls) = DeviceCopies(), counted()
    copies.get('numbers', make, CPU)
    for other in (copy.deepcopy(copies), pickle.loads(pickle.dumps(copies))):
        other.get('numbers', make, CPU)
    assert len(calls) == 3


def test_what_inference_made_serves_training():
    copies, (make, _) = DeviceCopies(), counted()
    with torch.inference_mode():
        copies.get('numbers', make, CPU)
    weight = torch.ones(3, requires_grad=True)
    (weight * copies.get('numbers', make, CPU)).sum().backward()
    assert weight.grad.tolist() == [1, 2, 5]


def test_a_graph_gets_its_own():
    """What a trace makes has no values, so it must not be kept."""
    copies, (make, _) = DeviceCopies(), counted()

    def scale(x):
        return x * copies.get('numbers', make, x.device)

    compiled = torch.compile(scale, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(torch.ones(3)), torch.tensor([1.0, 2.0, 5.0]))
    torch.testing.assert_close(scale(torch.ones(3)), torch.tensor([1.0, 2.0, 5.0]))


def test_timestep():
    timestep = timestep_on(CPU, 801)
    assert timestep.tolist() == [801] and timestep.dtype == torch.int64
