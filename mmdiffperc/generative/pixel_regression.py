"""Dense prediction by plain regression, with the same networks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import validated

from .deterministic_diffusion import DeterministicDiffusion
from .target_codec import targets_of


@MODELS.register_module()
@validated
class PixelRegression(DeterministicDiffusion):
    """The same U-Net and adapter without a diffusion process: what DMP is to be compared with.

    One pass of the U-Net turns the latents of the image into those of the target. The loss is the squared error of the
    decoded pixels, the gradient of which goes through the frozen decoder.

    Args:
        **kwargs: Arguments of :class:`.DeterministicDiffusion`, among them ``sampler='one_pass'`` and
            ``prediction_type='sample'``.

    Raises:
        ValueError: Another sampler; see :class:`.DeterministicDiffusion`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.process.sampler != 'one_pass':
            raise ValueError(f"PixelRegression needs sampler='one_pass', got {self.process.sampler!r}")

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch; see :meth:`.DeterministicDiffusion.forward`."""
        images = self._encode(inputs)  # (B, 4, h, w)
        height, width = inputs.shape[-2:]
        timesteps = self.process.draw_timesteps(len(images), images.device)
        latents = self._denoise(images, timesteps, self._embed(self._captions_of(data_samples), len(images)))
        # The autoencoder's own `decode` lets no gradient through.
        decoded = self.autoencoder.vae.decode(latents / self.autoencoder.factor).sample[..., :height, :width]
        targets = self.codec.encode(targets_of(data_samples, inputs))
        return dict(loss_pixels=F.mse_loss(decoded.float(), targets))
