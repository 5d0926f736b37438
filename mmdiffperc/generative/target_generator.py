"""What models that draw a target map of an image have in common."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.weights.completeness import Completeness
from mmdiffperc.weights.loading import WhileFilling, initialise
from mmdiffperc.weights.lora import load_lora, save_lora

from .captions import captions_of, clean_captions
from .diffusion_networks import DiffusionNetworks
from .target_codec import TargetCodec

COMPLETENESS = Completeness(
    'Check that arch, lora, target_input and so on are those with which it was trained. Stable Diffusion weights are '
    'loaded by init_cfg, a LoRA file by load_lora',
    whole=True,
    same_shapes=True,
)
IMAGES = dict(type=ImgDataPreprocessor, mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


class TargetGenerator(BaseModel):
    """A text-to-image model that predicts the normals, depth, albedo, shading or segmentation of an image.

    It consists of the whole generator, see :class:`.DiffusionNetworks`, and a codec between target maps and the images
    of the autoencoder, see :class:`.TargetCodec`. A subclass defines how latents of the image become latents of the
    target, in :meth:`trace`, and the :meth:`loss`::

        image --encode--> latents --trace--> latents --decode--> image --codec--> target map

    The true target of a data sample is ``gt_target``, a ``PixelData`` whose ``data`` is ``(3, H, W)`` or ``(1, H, W)``,
    and with ``use_prompts`` its caption is ``text``. The prediction is ``pred_target``, in the same form. Pixels whose
    target is not finite, or that are False in ``gt_valid`` ``(1, H, W)``, are not learned.

    Args:
        networks (DiffusionNetworks): The generator.
        codec (TargetCodec): The kind of target.
        use_prompts (bool): Condition the U-Net on each image's caption rather than on an empty one.
        num_steps (int): Default number of steps from the image to the target.
        data_preprocessor (dict, optional): Default: images are BGR, 0 to 255.
        init_cfg (dict, optional): Pre-trained weights.
    """

    def __init__(
        self,
        networks: DiffusionNetworks,
        codec: TargetCodec,
        use_prompts: bool,
        num_steps: int,
        data_preprocessor: dict | torch.nn.Module | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor or IMAGES, init_cfg)
        self.codec = codec
        self.use_prompts = use_prompts
        self.num_steps = num_steps
        self.autoencoder = networks.autoencoder
        self.text_encoder = networks.text_encoder
        self.unet = networks.unet
        COMPLETENESS.attach(self)

    @property
    def networks(self) -> DiffusionNetworks:
        """The networks of this model.

        They are submodules of the model itself: checkpoints name them ``unet``, ``autoencoder`` and ``text_encoder``,
        and a wrapper may replace each of them, as FSDP does.
        """
        return DiffusionNetworks(self.autoencoder, self.unet, self.text_encoder)

    def init_weights(self, while_filling: WhileFilling = nullcontext):
        """Load the pre-trained weights that ``init_cfg`` names.

        Args:
            while_filling (Callable): See :func:`.load_weights`.
        """
        parts = dict(unet=self.unet, vae=self.autoencoder.vae, text_encoder=self.text_encoder.clip)
        source = initialise(self, parts, while_filling=while_filling)
        if source and 'text_encoder' in source.files:
            self.text_encoder.note_weights()

    def load_lora(self, path: str | Path):
        """Exchange the adapter for the one in a file or folder, see :func:`.load_lora`."""
        load_lora(self.unet, path)

    def save_lora(self, folder: str | Path):
        """Write the adapter for diffusers, see :func:`.save_lora`."""
        save_lora(self.unet, folder)

    def forward(
        self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> dict[str, torch.Tensor] | list[BaseDataElement] | torch.Tensor:
        """Train or predict.

        Args:
            inputs (Tensor): Images ``(B, 3, H, W)``, RGB in [-1, 1], of any size.
            data_samples (Sequence[BaseDataElement], optional): One for each image; needed for training and prompts.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``. Defaults to ``'tensor'``.

        Returns:
            dict | list | Tensor: The loss; the data samples with ``pred_target``; or target maps ``(B, 3 or 1, H, W)``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.estimate(inputs, self._captions_of(data_samples))

    @abstractmethod
    def loss(self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch; see :meth:`forward`."""

    @property
    @abstractmethod
    def adjustable(self) -> tuple[str, ...]:
        """The arguments of :meth:`estimate` that change the predictions of this model, beside captions and latents."""

    @abstractmethod
    def timesteps(self, num_steps: int | None = None) -> list[int]:
        """Return the timesteps from an image to its target.

        Args:
            num_steps (int, optional): Number of steps. Default: the model's.

        Raises:
            ValueError: The model cannot take that many steps.
        """

    @abstractmethod
    def trace(
        self,
        images: torch.Tensor,
        captions: Sequence[str] | torch.Tensor | None = None,
        num_steps: int | None = None,
        latents: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Go from images to targets step by step, with the arguments of :meth:`estimate`.

        Args:
            images (Tensor): ``(B, 3, H, W)``.
            captions (Sequence[str], optional): One for each image.
            num_steps (int, optional): Number of steps.
            latents (Tensor, optional): Latents of the images ``(B, 4, h, w)``, in single precision. Default: encode the
                images.

        Yields:
            Tensor: Latents ``(B, 4, h, w)`` after each step, for :meth:`decode`.
        """

    def predict(
        self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Predict targets, each in the size (``ori_shape``) with which its image was loaded; see :meth:`forward`.

        Images of several sizes (``img_shape``) are predicted without the padding that made them a batch.
        """
        captions = self._captions_of(data_samples)
        samples = list(data_samples or [BaseDataElement() for _ in inputs])
        sizes = [tuple(sample.get('img_shape', inputs.shape[-2:])[:2]) for sample in samples]
        for height, width in dict.fromkeys(sizes):
            group = [index for index, size in enumerate(sizes) if size == (height, width)]
            images = torch.stack([inputs[index, :, :height, :width] for index in group])
            maps = self.estimate(images, captions and [captions[index] for index in group])
            for index, prediction in zip(group, maps, strict=True):
                size = tuple(samples[index].get('ori_shape', (height, width))[:2])
                if size != (height, width):
                    prediction = self.codec.resize(prediction, size)
                samples[index].pred_target = PixelData(data=prediction)
        return samples

    def estimate(
        self,
        images: torch.Tensor,
        captions: Sequence[str] | torch.Tensor | None = None,
        num_steps: int | None = None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Estimate the targets of images.

        Args:
            images (Tensor): ``(B, 3, H, W)``, RGB in [-1, 1], of any size.
            captions (Sequence[str] | Tensor, optional): One for each image, or ready prompt embeddings ``(B, 77, C)``;
                needed with ``use_prompts``.
            num_steps (int, optional): Number of steps. Default: the model's.
            latents (Tensor, optional): Latents of the images, see :meth:`trace`.

        Returns:
            Tensor: Target maps ``(B, 3 or 1, H, W)``.
        """
        *_, latents = self.trace(images, captions, num_steps, latents)
        return self.decode(latents, images.shape[-2:])

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Decode latents of targets to target maps ``(B, 3 or 1, H, W)`` of a height and width."""
        return self.codec.decode(self.networks.decode(latents, size))

    def latent_shape(self, size: tuple[int, int]) -> torch.Size:
        """Return the shape ``(4, h, w)`` of the latents of an image of a height and width."""
        return self.autoencoder.latent_shape(size)

    def _captions_of(self, data_samples):
        return captions_of(data_samples) if self.use_prompts else None

    def _embed(self, captions, batch_size):
        """Return prompt embeddings ``(B, 77, C)``."""
        if isinstance(captions, torch.Tensor):
            return captions
        if not self.use_prompts:
            return self._embed_empty(batch_size)
        return self.networks.embed(clean_captions(captions, batch_size))

    def _embed_empty(self, batch_size):
        return self.networks.embed(['']).expand(batch_size, -1, -1)
