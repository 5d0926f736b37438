"""Reconstruct the image as a second task of a U-Net that is trained for perception."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import nn

from .on_device import timestep_on
from .unet_inputs import task_numbers

IMAGE_TASK = (0, 1)
CLEAN_IMAGE = 'clean_img'  # in the meta information of a sample
LOSS = 'loss_reconstruction'


class Reconstruction(nn.Module):
    """A second pass of the U-Net in training, which should return the latents of the image.

    The loss is ``weight * mean((z - f(z', image task))^2)``, where ``z'`` are the latents that the U-Net also reads for
    its first task, and ``z`` those of the image before it was disturbed, or ``z'`` itself. From `SDPose
    <https://arxiv.org/abs/2509.24980>`_, whose task numbers (0, 1) follow `Lotus <https://arxiv.org/abs/2409.18124>`_.

    The backbone calls :meth:`run`; its model then calls :meth:`loss`, see :func:`add_loss`.

    Args:
        weight (float): Weight of the loss.
    """

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight
        self.register_buffer('task', task_numbers(IMAGE_TASK), persistent=False)
        self._pending = None

    def __getstate__(self) -> dict:
        """Leave out the pass that waits for its target: copies and pickles do not need it."""
        return self.__dict__ | dict(_pending=None)

    def run(self, unet: nn.Module, latents: torch.Tensor, timestep: int, conditions: Mapping):
        """Predict the latents of images, and keep the prediction for the loss.

        Args:
            unet (nn.Module): The whole U-Net.
            latents (Tensor): Its input ``(B, 4, h, w)``.
            timestep (int): The diffusion timestep.
            conditions (Mapping): The other arguments of the U-Net's first pass.
        """
        conditions = dict(conditions, class_labels=self.task.to(latents).expand(latents.shape[0], -1))
        prediction = unet(latents, timestep_on(latents.device, timestep), **conditions).sample
        self._pending = prediction, latents.detach()

    def loss(self, targets: Mapping[int, torch.Tensor]) -> torch.Tensor:
        """Compute the loss of the last pass.

        Args:
            targets (Mapping[int, Tensor]): Clean latents ``(4, h, w)`` by the number of their image in the batch. The
                target of other images is the input of the U-Net.

        Raises:
            RuntimeError: There has been no pass since the last call.
        """
        if self._pending is None:
            raise RuntimeError('The backbone has not run in training mode since the last loss: run it before each loss')
        prediction, latents = self._pending
        self._pending = None
        clean = [targets.get(index, own) for index, own in enumerate(latents)]
        return self.weight * F.mse_loss(prediction.float(), torch.stack(clean).float())


def attach_loss(model: nn.Module, name: str, backbone: nn.Module):
    """Let a model of any host add the loss of its backbone to its losses.

    Args:
        model (nn.Module): The model; others than mmengine's are left alone.
        name (str): Name of the backbone inside.
        backbone (nn.Module): A :class:`.DiffusionUNet` with a reconstruction.
    """
    # A part is added again when a runner converts the batch normalisations inside.
    if isinstance(model, BaseModel) and not hasattr(model, 'part_with_reconstruction'):
        model.part_with_reconstruction = name
        model.register_forward_hook(partial(add_loss, name), with_kwargs=True)


def add_loss(name: str, model: BaseModel, args: tuple, kwargs: dict, output):
    """Add ``loss_reconstruction`` to the losses that a model returns; other outputs stay as they are.

    The clean images are those that :class:`.KeepCleanImage` put into the meta information of the samples.

    Raises:
        ValueError: A clean image is larger than the batch of images.
    """
    inputs, samples, mode = (*args, *(None,) * 3)[:3]
    inputs, samples, mode = kwargs.get('inputs', inputs), kwargs.get('data_samples', samples), kwargs.get('mode', mode)
    if mode != 'loss' or not isinstance(output, dict):
        return None
    backbone = model.get_submodule(name)
    flip = _reads_bgr(model.data_preprocessor)
    images = {
        index: to_input(image, inputs, flip) for index, image in enumerate(_clean_images(samples)) if image is not None
    }
    targets = {}
    if images:
        with torch.no_grad():
            latents = backbone.autoencoder.encode(torch.stack(list(images.values())), backbone.sample_latents)
        targets = dict(zip(images, latents, strict=True))
    return dict(output, **{LOSS: backbone.reconstruction.loss(targets)})


def _clean_images(samples: Sequence | None) -> list[np.ndarray | None]:
    return [sample.metainfo.get(CLEAN_IMAGE) for sample in samples or ()]


def _reads_bgr(preprocessor: nn.Module) -> bool:
    """Return whether a host's preprocessor swaps the channels, that is, whether images are loaded as BGR."""
    return bool(getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'channel_conversion', False)))


def to_input(image: np.ndarray, inputs: torch.Tensor, flip: bool) -> torch.Tensor:
    """Convert a clean image to the form of the images that the model reads: RGB in [-1, 1], padded with mid-grey.

    Args:
        image (np.ndarray): ``(H, W, 3)``, 0 to 255.
        inputs (Tensor): The images of the batch ``(B, 3, H', W')``.
        flip (bool): Whether the channels are BGR.

    Returns:
        Tensor: ``(3, H', W')``.
    """
    height, width = inputs.shape[-2:]
    if image.shape[0] > height or image.shape[1] > width:
        raise ValueError(
            f'{CLEAN_IMAGE} is {image.shape[0]} x {image.shape[1]}, but the images of the batch are {height} x '
            f'{width}: put KeepCleanImage after the transforms that change the size'
        )
    rgb = image[..., ::-1] if flip else image
    tensor = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
    tensor = tensor.to(inputs.device, inputs.dtype, non_blocking=True) / 127.5 - 1
    return F.pad(tensor, (0, width - image.shape[1], 0, height - image.shape[0]))
