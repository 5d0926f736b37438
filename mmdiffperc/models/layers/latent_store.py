"""What a frozen autoencoder returned for an image, on disk."""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MMLogger
from safetensors import SafetensorError
from safetensors.torch import load
from safetensors.torch import save as to_bytes
from torch import nn

from mmdiffperc.files import write_whole

ENTRY = 'encoded'


class LatentStore:
    """Encode each image once, and read the result from a file when the same image comes again.

    The name of a file is a hash of the weights and the structure of the autoencoder, the type in which it computes, and
    the pixels that it encodes. So a result is used only for the same computation: with other weights, another image
    size, or another pipeline, the names differ. A flipped image is an image of its own.

    Args:
        folder (str | Path): The folder. Several processes, runs and models may share it.
        autoencoder (nn.Module): The frozen autoencoder, with its weights loaded.
        max_bytes (int): No more files are written once this process has written so many bytes.
    """

    def __init__(self, folder: str | Path, autoencoder: nn.Module, max_bytes: int):
        self.folder = Path(folder)
        self.prefix = digest_of(*encoding_parts(autoencoder))
        self.max_bytes = max_bytes
        self.num_bytes = self.num_read = self.num_encoded = 0

    def encode(self, images: torch.Tensor, compute: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return what ``compute`` returns for images ``(B, 3, H, W)``, and compute only what is not stored."""
        paths = [self._path(image, images) for image in images]
        entries = [self._read(path, images) for path in paths]
        missing = [index for index, entry in enumerate(entries) if entry is None]
        self.num_read += len(images) - len(missing)
        self.num_encoded += len(missing)
        if missing:
            for index, encoded in zip(missing, compute(images[missing]), strict=True):
                entries[index] = encoded
                self._write(paths[index], encoded)
        return torch.stack(entries)

    def _path(self, image, images):
        device = images.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        settings = f'{self.prefix} {tuple(image.shape)} {image.dtype} {autocast}'
        name = blake2b(
            bytes_of(image), key=blake2b(settings.encode(), digest_size=32).digest(), digest_size=20
        ).hexdigest()
        return self.folder / name[:2] / f'{name}.safetensors'

    def _read(self, path, images):
        try:
            return load(path.read_bytes())[ENTRY].to(images.device)
        except (FileNotFoundError, SafetensorError):  # a damaged file is replaced
            return None

    def _write(self, path, encoded):
        if self.num_bytes >= self.max_bytes:
            return
        content = to_bytes({ENTRY: encoded.detach().cpu().contiguous()})
        write_whole(path, content)
        self.num_bytes += len(content)
        if self.num_bytes >= self.max_bytes:
            MMLogger.get_current_instance().warning(
                f'{self.folder}: {self.num_bytes / 1e9:.3g} GB of latents are written, the limit. Other images are '
                'encoded each time. If the training crops or resizes images at random, storing latents does not help'
            )


def encoding_parts(autoencoder: nn.Module) -> list[nn.Module]:
    """Return the parts of an autoencoder of diffusers on which encoding depends."""
    parts = (getattr(autoencoder, name, None) for name in ('encoder', 'quant_conv'))
    return [part for part in parts if part is not None]


def digest_of(*modules: nn.Module) -> str:
    """Return a hash of the structure and the weights of modules."""
    digest = blake2b(digest_size=32)
    for module in modules:
        digest.update(repr(module).encode())
        for name, weight in module.state_dict().items():
            digest.update(f'{name} {tuple(weight.shape)} {weight.dtype}'.encode())
            digest.update(bytes_of(weight))
    return digest.hexdigest()


def bytes_of(tensor: torch.Tensor) -> np.ndarray:
    """Return the content of a tensor as bytes."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
