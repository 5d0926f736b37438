"""Train with weights, gradients and optimizer state sharded over processes: PyTorch's ``fully_shard`` (FSDP2)."""

import time
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any, Literal

import mmengine
import torch
from mmengine._strategy import DDPStrategy, SingleDeviceStrategy
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor
from mmengine.optim import BaseOptimWrapper, OptimWrapper
from mmengine.runner.checkpoint import save_checkpoint
from mmengine.utils import get_git_hash
from torch import Tensor, distributed, nn

from mmdiffperc.compat import sharded_checkpoint as shards
from mmdiffperc.compat.checkpoint import checked_checkpoint, load_file
from mmdiffperc.files import whole_file
from mmdiffperc.registry import FUNCTIONS, STRATEGIES
from mmdiffperc.sharded_tensors import local_part
from mmdiffperc.validation import PositiveInt, Text, validated

from .sharding import device_mesh, gather, shard, shard_like

# Hooks that a sharded training cannot have, by the name of their class or of its base.
REFUSED_HOOKS = {
    'EMAHook': 'it copies the model, which cannot be copied while it is sharded',
    'StoreLatentsHook': 'processes would encode different images, but gather the weights of the autoencoder together',
    'SaveLoRAHook': 'each process has only a part of the adapter; load the last checkpoint, and save the adapter then',
}


@STRATEGIES.register_module()
@validated
class FullyShardedStrategy(DDPStrategy):
    """Shard weights, gradients and optimizer state over the processes, with PyTorch's ``fully_shard`` (FSDP2).

    Each unit of the model, by default a transformer block or a residual block, is gathered right before it computes,
    and released after it. Each process keeps and updates its part of every weight. Losses and gradients are those of
    ``DistributedDataParallel``.

    Unlike with mmengine's ``FSDPStrategy``, trained and frozen weights may have different types, gradients are clipped
    by the norm of all processes, and training resumes with another number of processes. Any model and any strategy can
    load the checkpoints.

    - **Accumulation**: gradients are reduced after each batch and accumulated in sharded form, which takes no memory
      beyond that of one batch.
    - **Evaluation** gathers all weights once, so that processes may evaluate images of different sizes in different
      numbers of windows. For this time, each process needs the memory of all weights.
    - **Tied weights** that belong to several units are not sharded with a unit, but with the rest of the model.

    Use it with ``runner_type='FlexibleRunner'`` and ``strategy=dict(type='FullyShardedStrategy')``. It also works in
    one process, without a launcher.

    Args:
        auto_wrap_policy (str): The registered function that chooses the units, as for FSDP, see
            :func:`.wrap_diffusion_blocks`. The rest of the model is another unit. Defaults to
            ``'wrap_diffusion_blocks'``.
        dtype (str): ``'float32'``, or ``'bfloat16'``, which runs the forward pass under autocast, also in evaluation,
            and gathers the weights of the units in bfloat16. This halves the communication of the weights. Sharded
            weights, gradients and their reduction stay in float32. Defaults to ``'float32'``.
        offload (bool): Keep sharded weights, gradients and optimizer state in the memory of the CPU, which then updates
            the weights. Defaults to False.
        shard_size (int, optional): Number of processes over which a copy of the model is sharded, usually the GPUs of
            one node. It must divide the number of processes. Gradients are then averaged over the copies. Default: all
            processes.
        checkpoints (str): ``'sharded'``, folders that all processes write and read together, or ``'full'``, files as
            without sharding, for which the first process gathers everything. The last checkpoint of a training run, and
            checkpoints without optimizer state such as the best one, are always files. Defaults to ``'sharded'``.
        sync_bn (str, optional): Convert batch norm, see ``DDPStrategy`` of mmengine. In one process, ``SyncBN`` becomes
            ``BN``.
        **kwargs: Arguments of mmengine's strategies, such as ``work_dir``, which the runner sets.

    Raises:
        ValueError: The policy is not registered; or, when the training starts, ``shard_size`` does not divide the
            number of processes, the optimizer cannot be sharded, or a hook cannot be used.
    """

    def __init__(
        self,
        *,
        auto_wrap_policy: Text = 'wrap_diffusion_blocks',
        dtype: Literal['float32', 'bfloat16'] = 'float32',
        offload: bool = False,
        shard_size: PositiveInt | None = None,
        checkpoints: Literal['sharded', 'full'] = 'sharded',
        sync_bn: Text | None = None,
        **kwargs: Any,
    ):
        self.policy = FUNCTIONS.get(auto_wrap_policy)
        if self.policy is None:
            raise ValueError(f'auto_wrap_policy: expected a registered function, got {auto_wrap_policy!r}')
        self.offload = offload
        super().__init__(sync_bn=sync_bn, **kwargs)
        self.dtype = getattr(torch, dtype)
        self.shard_size = shard_size
        self.checkpoints = checkpoints

    def check_hooks(self, hooks: Iterable[Hook]) -> None:
        """Refuse hooks that need the whole model in one process.

        Raises:
            ValueError: The message names the hook and the reason.
        """
        for hook in hooks:
            for kind in type(hook).__mro__:
                if reason := REFUSED_HOOKS.get(kind.__name__):
                    raise ValueError(
                        f'{type(hook).__name__} cannot be combined with FullyShardedStrategy: {reason}. Remove the '
                        'hook, or train without sharding'
                    )

    def convert_model(self, model: nn.Module) -> nn.Module:
        """Convert batch norm; a single process cannot synchronise it."""
        kind = DDPStrategy if get_world_size() > 1 else SingleDeviceStrategy
        return kind.convert_model(self, model)

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> BaseOptimWrapper:
        """Build the optimizer wrapper of the sharded model.

        Raises:
            ValueError: There are several optimizers, or the optimizer is not one of PyTorch.
        """
        built = super().build_optim_wrapper(optim_wrapper, model)
        optimizer = getattr(built, 'optimizer', None)
        if not isinstance(built, OptimWrapper) or type(optimizer).__module__.startswith('bitsandbytes'):
            raise ValueError(
                'FullyShardedStrategy: expected one optimizer of PyTorch, got '
                f'{type(optimizer or built).__name__}, which cannot update sharded weights: use AdamW'
            )
        return built

    def _setup_distributed(self, launcher: str = 'pytorch', backend: str = 'nccl', **kwargs: Any) -> None:
        if self.offload and backend == 'nccl':
            backend = 'cpu:gloo,cuda:nccl'  # the norm of gradients on the CPU is that of all processes, too
        super()._setup_distributed(launcher, backend, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        if not is_distributed():
            backend = 'nccl' if torch.cuda.is_available() else 'gloo'
            distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
        device = torch.device(get_device())
        model = self.convert_model(model)
        for module in model.modules():
            if isinstance(module, BaseDataPreprocessor):
                module.to(device)  # which it remembers
        shard(model, device_mesh(device.type, self.shard_size), self.policy, self.dtype, self.offload)
        return model

    # Checkpoints

    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: dict | None = None,
        callback: Callable[[dict], None] | None = None,
    ) -> None:
        """Save a checkpoint: a folder in the middle of training, or else a file. All processes call this together."""
        checkpoint = dict(extra_ckpt or {})
        meta = checkpoint['meta'] = dict(
            checkpoint.get('meta', {}),
            seed=self.seed,
            time=time.strftime('%Y%m%d_%H%M%S', time.localtime()),
            mmengine=mmengine.__version__ + get_git_hash(),
        )
        is_last = meta.get('iter') == self.dispatch_kwargs.get('max_iters')
        is_file = self.checkpoints == 'full' or not save_optimizer or is_last
        form = gather if is_file else dict
        checkpoint['state_dict'] = form(self.model.state_dict())
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            optimizer = checkpoint['optimizer'] = self.optim_state_dict()
            optimizer['state'] = {number: form(values) for number, values in optimizer['state'].items()}
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        if callback is not None:
            shards.call_together(lambda: callback(checkpoint))
        if is_file:
            shards.call_together(lambda: write_checkpoint(checkpoint, filename) if is_main_process() else None)
        else:
            shards.save_shards(filename, *shards.split(checkpoint, list(self._trained_parameters())))

    def _is_full_state_dict(self) -> bool:
        return False  # the runner need not write whole files, because this strategy does

    def _trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return the optimizer's parameters by name, in the order in which it numbers them."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        groups = self.optim_wrapper.optimizer.param_groups
        return {names[parameter]: parameter for group in groups for parameter in group['params']}

    def load_checkpoint(self, filename: str, *, callback: Callable[[dict], None] | None = None, **kwargs: Any) -> dict:
        """Load the weights of a file or of a folder, in all processes.

        Args:
            filename (str): A file, as without sharding, which each process reads completely; or a folder, of which
                each process reads its part.
            callback (Callable, optional): Called with the checkpoint before its weights are loaded.
            **kwargs: ``map_location``, ``strict`` and ``revise_keys``, see mmengine.

        Returns:
            dict: The rest of the checkpoint.
        """
        if not shards.is_sharded(filename):
            return super().load_checkpoint(filename, callback=callback, **kwargs)
        self.logger.info(f'Load checkpoint from {filename}')
        checkpoint, index = shards.read_state(filename, load_file)
        own = self.model.state_dict()
        weights = {name: own[name] for name in shards.pick(index, shards.WEIGHTS) if name in own}
        shards.load_shards(filename, shards.WEIGHTS, weights)
        checkpoint['state_dict'].update(weights)
        shards.call_together(lambda: check_parts(checkpoint, filename))
        if 'optimizer' in checkpoint:
            checkpoint['optimizer']['folder'] = filename
        if callback is not None:
            callback(checkpoint)
        kwargs.pop('map_location', None)
        self.load_model_state_dict(checkpoint.pop('state_dict'), **kwargs)
        return checkpoint

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state of a file or of a folder.

        Raises:
            ValueError: The optimizer of the checkpoint has other parameters, or others in the same order.
        """
        parameters = self._trained_parameters()
        if folder := state_dict.pop('folder', None):
            check_names(shards.parameter_names(state_dict), list(parameters))
            tensors = {
                name: like_stored(parameters[name.rpartition(shards.SEPARATOR)[0]], entry)
                for name, entry in shards.pick(shards.read_index(folder), shards.OPTIMIZER).items()
            }
            shards.load_shards(folder, shards.OPTIMIZER, tensors)
            shards.join_optimizer(state_dict, tensors)
        numbered = list(parameters.values())
        state_dict['state'] = {
            number: {key: shard_like(numbered[number], value) for key, value in values.items()}
            for number, values in state_dict['state'].items()
        }
        super().load_optim_state_dict(state_dict)


def like_stored(parameter: nn.Parameter, entry: Any) -> Tensor:
    """Return a tensor for a stored part of the optimizer's state; it is sharded like its parameter if as large."""
    if entry.size == parameter.shape:
        return torch.empty_like(parameter, dtype=entry.properties.dtype, requires_grad=False)
    return torch.empty(entry.size, dtype=entry.properties.dtype)


def write_checkpoint(checkpoint: dict, filename: str) -> None:
    """Write a checkpoint that appears under its name when it is complete."""
    with whole_file(filename) as partial:
        save_checkpoint(checkpoint, str(partial))


def check_parts(checkpoint: dict, where: str) -> None:
    """Check a sharded checkpoint like one in a file; of the weights, this process's parts."""
    weights = checkpoint['state_dict']
    parts = {name: local_part(each) for name, each in weights.items()}
    checked_checkpoint(checkpoint | dict(state_dict=parts), where)


def check_names(stored: list[str], own: list[str]) -> None:
    """Refuse the state of an optimizer with other parameters, or with the same ones in another order.

    Raises:
        ValueError: The message names the first parameter that differs.
    """
    if stored != own:
        pairs = zip_longest(stored, own)
        other, expected = next((first, second) for first, second in pairs if first != second)
        raise ValueError(
            f'the optimizer of the checkpoint has {len(stored)} parameters, and this one {len(own)}; they differ first '
            f'in {other} and {expected}: resume with the same model and paramwise_cfg, or start from the weights with '
            'load_from'
        )
