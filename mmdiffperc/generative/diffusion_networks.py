"""The networks of a Stable Diffusion that keeps its generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel

from mmdiffperc.models.checkpointing import enable_checkpointing, refuse_reentrant_checkpointing
from mmdiffperc.models.layers.image_check import REMEDY, check_form
from mmdiffperc.models.layers.latent_autoencoder import LatentAutoencoder
from mmdiffperc.models.layers.on_device import timestep_on
from mmdiffperc.models.layers.sentence_encoder import LONGEST, SentenceEncoder
from mmdiffperc.weights.architectures import build_unet, unet_inputs
from mmdiffperc.weights.lora import add_attention_lora

CACHED_SENTENCES = 256


@dataclass(frozen=True)
class DiffusionNetworks:
    """An autoencoder with decoder, a U-Net and a text encoder, and what they compute.

    Models may share all of them, or some (``dataclasses.replace``).

    Args:
        autoencoder (LatentAutoencoder): With its decoder.
        unet (UNet2DConditionModel): With or without an adapter.
        text_encoder (SentenceEncoder): For captions.
    """

    autoencoder: LatentAutoencoder
    unet: UNet2DConditionModel
    text_encoder: SentenceEncoder

    @classmethod
    def build(
        cls,
        arch: str,
        lora: dict | None = None,
        with_cp: bool = False,
        target_input: bool = False,
        task_input: bool = False,
        num_tokens: int = LONGEST,
    ) -> 'DiffusionNetworks':
        """Build the networks of an architecture with random weights.

        Args:
            arch (str): See :func:`.arch_folder`.
            lora (dict, optional): Arguments of :func:`.add_attention_lora`. Default: no adapter.
            with_cp (bool): Save memory in training by gradient checkpointing. Defaults to False.
            target_input (bool): The U-Net also takes the latents of a target. Defaults to False.
            task_input (bool): The U-Net also takes a task embedding. Defaults to False.
            num_tokens (int): Length to which captions are cut and padded. Defaults to 77.

        Raises:
            ValueError: The U-Net of ``arch`` needs other inputs, as SDXL's does. Nothing is built then.
        """
        _check_inputs(arch, target_input, task_input)
        autoencoder = LatentAutoencoder(arch, scale_latents=True, with_decoder=True)
        text_encoder = SentenceEncoder(arch, num_tokens, cache_size=CACHED_SENTENCES)
        unet = build_unet(arch, target_input, task_input)
        refuse_reentrant_checkpointing(unet)
        if lora is not None:
            add_attention_lora(unet, **lora)
        if with_cp:
            enable_checkpointing(unet)
        return cls(autoencoder, unet, text_encoder)

    def encode(
        self,
        images: torch.Tensor,
        sample: bool = False,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> torch.Tensor:
        """Encode images to the mode, or a sample, of their latent distribution.

        Args:
            images (Tensor): ``(B, 3, H, W)``, RGB in [-1, 1].
            sample (bool): Draw a sample. Defaults to False.
            generator (torch.Generator | Sequence[torch.Generator], optional): For the sample, or one for the sample of
                each image. Default: PyTorch's global one.

        Returns:
            Tensor: Latents ``(B, 4, h, w)`` in single precision.

        Raises:
            TypeError: ``images`` is not a tensor of floating-point numbers.
            ValueError: The shape is wrong, or values are not in [-1, 1].
        """
        check_form(images)
        if not images.is_floating_point():
            raise TypeError(f'images: expected floating-point numbers in [-1, 1], got {images.dtype}. {REMEDY}')
        # Latents stay in single precision: the noise schedule needs it, see DeterministicProcess.mix.
        return self.autoencoder.encode(images.to(self.unet.dtype), sample, generator).float()

    def embed(self, captions: Sequence[str]) -> torch.Tensor:
        """Encode captions to prompt embeddings ``(B, 77, C)``."""
        return self.text_encoder(list(captions))

    def denoise(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor | int,
        prompt_embeds: torch.Tensor,
        task: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the prediction ``(B, 4, h, w)`` of the U-Net.

        Args:
            latents (Tensor): ``(B, 4, h, w)``; with a target's latents as well, ``(B, 8, h, w)``.
            timesteps (Tensor | int): ``(B,)``, or one for all.
            prompt_embeds (Tensor): ``(B, K, C)``.
            task (Tensor, optional): Task embedding ``(B, 4)``, if the U-Net takes one.
        """
        dtype = self.unet.dtype
        if isinstance(timesteps, int):
            timesteps = timestep_on(latents.device, timesteps)
        task = None if task is None else task.to(dtype)
        return self.unet(
            latents.to(dtype), timesteps, encoder_hidden_states=prompt_embeds.to(dtype), class_labels=task
        ).sample

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Decode latents to images ``(B, 3, H, W)`` of a height and width, RGB, roughly in [-1, 1]."""
        height, width = size
        return self.autoencoder.decode(latents.to(self.unet.dtype))[..., :height, :width].float()


def _check_inputs(arch, target_input: bool, task_input: bool):
    known = 'latents, a timestep and prompts' + ', latents of a target' * target_input + ', a task' * task_input
    if needed := unet_inputs(arch, target_input, task_input):
        raise ValueError(
            f'arch={str(arch)!r} has a U-Net with {", ".join(needed.values())}; a generator needs one that takes only '
            f'{known}. OneStepDiffusion serves other U-Nets: with target_input one with 8 channels, and with '
            "task_embedding one for several tasks. It does not serve Marigold's intrinsic decomposition (12 or 16 "
            'channels) and SDXL'
        )


def share_or_build(
    networks: DiffusionNetworks | None, arch, lora: dict | None, with_cp: bool, **inputs
) -> DiffusionNetworks:
    """Return given networks, or build new ones.

    Raises:
        ValueError: ``networks`` cannot be combined with ``lora`` or ``with_cp``.
    """
    if networks and (lora or with_cp):
        raise ValueError(f'networks cannot be combined with lora={lora} and with_cp={with_cp}: set None and False')
    return networks or DiffusionNetworks.build(arch, lora, with_cp, **inputs)
