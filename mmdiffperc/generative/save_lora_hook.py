"""Save the adapter of every checkpoint in a separate file."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdiffperc.engine.check_finite_hook import unwrap
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import validated


@HOOKS.register_module()
@validated
class SaveLoRAHook(Hook):
    """Write the low-rank adapter beside each checkpoint, in the current format of diffusers.

    A checkpoint of :class:`.DeterministicDiffusion` holds the whole Stable Diffusion, of which only a few megabytes
    were trained. This hook writes them to ``lora_iter_N/pytorch_lora_weights.safetensors`` in the work directory, where
    N is the number of iterations. ``load_lora`` and ``StableDiffusionPipeline.load_lora_weights`` read this file.

    Raises:
        TypeError: Before training: the model has no ``save_lora``.
        ValueError: Before training: the model has no adapter.
    """

    def before_train(self, runner: Runner):
        """Check the model before training rather than at the first checkpoint."""
        model = unwrap(runner.model)
        if not hasattr(model, 'save_lora'):
            raise TypeError(f'SaveLoRAHook: {type(model).__name__} has no save_lora; remove the hook from custom_hooks')
        if not getattr(model.unet, 'peft_config', None):
            raise ValueError(
                'SaveLoRAHook: the model has no LoRA; give it `lora`, or remove the hook from custom_hooks'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict):
        """Write the adapter of a checkpoint before the checkpoint itself."""
        folder = Path(runner.work_dir) / f'lora_iter_{checkpoint["meta"]["iter"]}'
        unwrap(runner.model).save_lora(folder)
