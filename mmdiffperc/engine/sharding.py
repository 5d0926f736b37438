"""The policy by which fully sharded data parallelism (FSDP) divides a model into units."""

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from mmdiffperc.registry import FUNCTIONS

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
