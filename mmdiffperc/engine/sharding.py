"""Shard a model over processes: the policy that divides it into units, and PyTorch's ``fully_shard`` (FSDP2)."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from mmengine.dist import get_world_size, is_main_process
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mmdiffperc.registry import FUNCTIONS

from .low_memory_optim_wrapper import run_under

# They hold nearly all weights of a U-Net and of an autoencoder.
BLOCKS = (BasicTransformerBlock, ResnetBlock2D)


@FUNCTIONS.register_module()
def wrap_diffusion_blocks(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """Make each transformer block and each residual block a unit; the rest of the model is another unit.

    For ``auto_wrap_policy`` of mmengine's ``MMFullyShardedDataParallel``. Trained and frozen weights may share a unit
    (with LoRA, or in the rest of the model): ``use_orig_params=True``, mmengine's default, allows it.

    The layers of a text encoder belong to the rest. All processes have to gather a unit together, but a text encoder
    runs only in the processes whose sentences are new to it.

    Args:
        module (nn.Module): A submodule of the model.
        recurse (bool): Whether PyTorch asks about the submodules of ``module``, which may always become units.
        nonwrapped_numel (int): Number of weights in ``module``; not used.
    """
    return recurse or isinstance(module, BLOCKS)


def device_mesh(device: str, shard_size: int | None = None) -> DeviceMesh:
    """Return the mesh of all processes.

    Args:
        device (str): Type of the device of each process.
        shard_size (int, optional): Number of processes over which a copy of the model is sharded. Default: all.

    Raises:
        ValueError: ``shard_size`` does not divide the number of processes.
    """
    number = get_world_size()
    if shard_size in (None, number):
        return init_device_mesh(device, (number,))
    if number % shard_size:
        raise ValueError(f'shard_size: expected a number that divides the {number} processes evenly, got {shard_size}')
    return init_device_mesh(device, (number // shard_size, shard_size), mesh_dim_names=('copy', 'shard'))


def shard(
    model: nn.Module,
    mesh: DeviceMesh,
    policy: Callable[..., bool],
    dtype: torch.dtype = torch.float32,
    offload: bool = False,
) -> None:
    """Shard a model in place.

    Args:
        model (nn.Module): The model. Its weights move to the device of the mesh.
        mesh (DeviceMesh): The processes, see :func:`device_mesh`.
        policy (Callable): Chooses the units, see :func:`.wrap_diffusion_blocks`.
        dtype (torch.dtype): Type in which to compute, see :class:`.FullyShardedStrategy`. Defaults to float32.
        offload (bool): Keep the shards in the memory of the CPU. Defaults to False.
    """
    # After evaluation, weights would be left gathered without this, and be updated in vain.
    options = dict(mesh=mesh, reshard_after_forward=True)
    options['offload_policy'] = CPUOffloadPolicy(pin_memory=mesh.device_type != 'cpu') if offload else OffloadPolicy()
    for unit in reversed(units_of(model, policy)):  # the inner ones first
        is_cast = dtype != torch.float32 and all(each.dtype == torch.float32 for each in unit.parameters())
        # Autocast casts the inputs.
        types = dict(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False) if is_cast else {}
        fully_shard(unit, mp_policy=MixedPrecisionPolicy(**types), **options)
    fully_shard(model, **options)
    for module in model.modules():
        module.register_load_state_dict_pre_hook(shard_loaded)
    model.register_forward_pre_hook(_GatherForEvaluation(), prepend=True)
    if dtype != torch.float32:
        run_under(model, lambda device: torch.autocast(mesh.device_type, dtype))


def units_of(model: nn.Module, policy: Callable[..., bool]) -> list[nn.Module]:
    """Return the modules that a policy chooses, without those that share a weight with a module outside."""
    owners = defaultdict(set)
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[parameter].add(module)

    def is_unit(module):
        size = sum(parameter.numel() for parameter in module.parameters())
        inside = set(module.modules())
        return (
            module is not model
            and policy(module=module, recurse=False, nonwrapped_numel=size)
            and all(owners[parameter] <= inside for parameter in module.parameters())
        )

    return [module for module in model.modules() if is_unit(module)]


class _GatherForEvaluation:
    """A forward pre-hook that gathers all weights once for evaluation, and releases them when training resumes.

    Processes evaluate different images, perhaps in different numbers of windows, so they cannot gather the weights of a
    unit together each time it runs.
    """

    def __init__(self):
        self._training = True

    def __call__(self, model: nn.Module, args: tuple) -> None:
        """Gather or release the weights."""
        if model.training and self._training:
            return
        for unit in model.modules():
            if isinstance(unit, FSDPModule):
                unit.set_reshard_after_forward(model.training, recurse=False)
                unit.reshard() if model.training else unit.unshard()
        self._training = model.training


def shard_loaded(module: nn.Module, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
    """Shard the weights that a module is about to load, which come from a checkpoint without sharding."""
    for name, parameter in module.named_parameters(recurse=False):
        if (loaded := state_dict.get(prefix + name)) is not None:
            state_dict[prefix + name] = shard_like(parameter, loaded)


def shard_like(parameter: nn.Parameter, value: Any) -> Any:
    """Return this process's part of a tensor that belongs to a sharded parameter, such as its momentum.

    Anything else is returned as it is: a tensor that is sharded already or that has another size, or a number.
    """
    is_whole = isinstance(value, Tensor) and not isinstance(value, DTensor) and value.shape == parameter.shape
    if not is_whole or not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def gather(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return whole tensors on the CPU in the first process, and nothing in the others. All call this together."""
    whole = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            tensor = tensor.detach().to(tensor.device_mesh.device_type).full_tensor()
        if is_main_process():
            whole[name] = tensor.detach().cpu() if isinstance(tensor, Tensor) else tensor
    return whole
