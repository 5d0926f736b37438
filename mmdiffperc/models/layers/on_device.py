"""Small tensors on the device that needs them, without a copy from the host in every forward pass.

A copy from the host makes the host wait until the GPU has finished everything before it.
"""

from collections.abc import Callable, Hashable, Sequence

import torch

MOST = 64  # tensors that are kept; more only if images have many sizes


class DeviceCopies:
    """Keep copies of tensors that the host computes on the devices that use them.

    Each is computed and copied once. Code that is traced or compiled gets a new tensor, because a tensor that is made
    while a graph is traced has no values. Copies of this object start empty.
    """

    def __init__(self):
        self._copies: dict[Hashable, torch.Tensor] = {}

    def __reduce__(self) -> tuple:
        """Copy and pickle as a new object."""
        return type(self), ()

    def get(
        self,
        key: Hashable,
        make: Callable[[], torch.Tensor],
        device: torch.device,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """Return a tensor, which the caller must not change.

        Args:
            key (Hashable): What determines the values of the tensor.
            make (Callable): Computes the tensor on the host.
            device (torch.device): Device of the tensor.
            dtype (torch.dtype, optional): Type of the tensor. Default: as it is computed.
        """
        if torch.compiler.is_compiling():
            return make().to(device, dtype)
        key = key, device, dtype
        copy = self._copies.get(key)
        if copy is None:
            with torch.inference_mode(False):  # training may need it later
                copy = self._copies[key] = make().to(device, dtype)
            for oldest in list(self._copies)[:-MOST]:  # other threads may do the same meanwhile
                self._copies.pop(oldest, None)
        return copy


def seeded_noise(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Return Gaussian noise of a shape, drawn on the CPU: the same numbers on all devices."""
    if torch.compiler.is_dynamo_compiling():
        return _noise_in_graph(shape, seed)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.library.custom_op('mmdiffperc::seeded_noise', mutates_args=())  # a compiled graph cannot make a generator
def _noise_in_graph(shape: Sequence[int], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@_noise_in_graph.register_fake
def _(shape, seed):
    return torch.empty(shape)


def timestep_on(device: torch.device, timestep: int) -> torch.Tensor:
    """Return a timestep ``(1,)`` as a U-Net of diffusers takes it; from an integer, diffusers would make a copy."""
    return torch.full((1,), timestep, device=device)
