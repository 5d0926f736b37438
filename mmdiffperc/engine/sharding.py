"""How fully sharded data parallelism (FSDP) cuts a model into units."""

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from mmdiffperc.registry import FUNCTIONS

# All but a few of the weights of a U-Net and of an autoencoder are in these.
BLOCKS = (BasicTransformerBlock, ResnetBlock2D)


@FUNCTIONS.register_module()
def wrap_diffusion_blocks(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """Make a unit of each transformer block and each residual block; the rest of the model is one more.

    For ``auto_wrap_policy`` of mmengine's ``MMFullyShardedDataParallel``. Trained and frozen weights may share a unit
    (with LoRA, or in the rest of the model): ``use_orig_params=True``, mmengine's default, allows it.

    Args:
        module (nn.Module): A part of the model.
        recurse (bool): Whether it is asked if the part's own parts are to be looked at, which they always are.
        nonwrapped_numel (int): Number of its weights; it does not matter.
    """
    return recurse or isinstance(module, BLOCKS)
