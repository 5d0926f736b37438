import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from mmdiffperc.engine.communication_count import pretend_processes
from mmdiffperc.sharded_tensors import local_part


def test_part_of_the_first_of_three_processes():
    whole = torch.arange(14.0).view(7, 2)
    with pretend_processes(3):
        sharded = distribute_tensor(whole, init_device_mesh('cpu', (3,)), [Shard(0)], src_data_rank=None)
        assert sharded.shape == (7, 2) and torch.equal(local_part(sharded), whole[:3])


def test_any_other_tensor_is_its_own_part():
    tensor = torch.ones(2, 3)
    assert local_part(tensor) is tensor
