"""The adapter of every checkpoint, in a file of its own."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import validated


@HOOKS.register_module()
@validated
class SaveLoRAHook(Hook):
    """Write the low-rank adapter beside each checkpoint, as diffusers does today.

    A checkpoint of :class:`.DeterministicDiffusion` holds the whole Stable Diffusion, of which nothing
    but a few megabytes was trained. These go to ``lora_iter_N/pytorch_lora_weights.safetensors`` in the work directory,
    N being the iterations done, for ``load_lora`` and for ``StableDiffusionPipeline.load_lora_weights``.

    Raises:
        TypeError: Before training: the model has no ``save_lora``.
        ValueError: Before training: it was built without an adapter.
    """

    def before_train(self, runner: Runner):
        """Fail now rather than at the first checkpoint."""
        model = unwrap(runner.model)
        if not hasattr(model, 'save_lora'):
            raise TypeError(f'SaveLoRAHook: {type(model).__name__} has no save_lora; remove the hook from custom_hooks')
        if not getattr(model.unet, 'peft_config', None):
            raise ValueError(
                'SaveLoRAHook: the model has no LoRA; give it `lora`, or remove the hook from custom_hooks'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict):
        """Write the adapter of the checkpoint that is about to be written."""
        folder = Path(runner.work_dir) / f'lora_iter_{checkpoint["meta"]["iter"]}'
        unwrap(runner.model).save_lora(folder)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model itself, without what distributes it."""
    return model.module if is_model_wrapper(model) else model
