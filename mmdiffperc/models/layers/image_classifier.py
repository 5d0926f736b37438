"""A vision transformer that tells the U-Net what kind of image it sees."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from PIL import Image
from torch import nn
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from mmdiffperc.files import brief
from mmdiffperc.validation import Expected, Location, validated

VIT = 'google/vit-base-patch16-224'
PRESETS = {VIT: dict(num_labels=1000)}  # transformers' defaults are the rest of its config
LEVELS = 255
Classifier = Annotated[
    Location | dict, Expected(f"a hub id such as {VIT!r}, a folder, or a dict of arguments of transformers' ViTConfig")
]


@validated
class ImageClassifier(nn.Module):
    """A ViT of transformers that sees the images of the backbone, as in `ECoDepth <https://arxiv.org/abs/2403.18807>`_.

    The images are padded with black to squares, at the bottom or the right, and resized to the size of the ViT by PIL
    on 8-bit values, so that a trained ViT receives the pixels that it was trained on. A GPU waits for this step, which
    takes the CPU a few milliseconds per image.

    Args:
        classifier (str | Path | dict): Its config: ``'google/vit-base-patch16-224'``, for which no file is needed;
            another hub id; a folder with ``config.json``; or arguments of transformers' ``ViTConfig``.
        pretrained (str | Path, optional): Its weights: a hub id, or a folder with ``model.safetensors`` or
            ``pytorch_model.bin``, in the names of any version of transformers. :meth:`load` reads them. Default:
            ``classifier``, unless it is a dict.
        frozen (bool): Train no weight of the ViT. It then needs weights. Defaults to True.
        with_logits (bool): Keep the final norm and the classification layer. Defaults to True.

    Attributes:
        image_size (int): Side of the images that the ViT sees.
        num_labels (int): Number of classes.
        out_dims (int): Width of its hidden states.
        is_init (bool): Whether weights have been loaded.

    Raises:
        ValueError: The config does not exist, or describes a model other than a ViT.
    """

    def __init__(
        self,
        classifier: Classifier = VIT,
        pretrained: Location | None = None,
        frozen: bool = True,
        with_logits: bool = True,
    ):
        super().__init__()
        config = read_vit_config(classifier)
        self.pretrained = classifier if pretrained is None and not isinstance(classifier, dict) else pretrained
        self.frozen = frozen
        self.with_logits = with_logits
        self.is_init = False
        self.image_size, self.num_labels, self.out_dims = config.image_size, config.num_labels, config.hidden_size
        if with_logits:
            self.vit = ViTForImageClassification(config)
        else:
            self.vit = ViTModel(config, add_pooling_layer=False)
            self.vit.layernorm = nn.Identity()  # no gradient would reach it
        if frozen:
            self.requires_grad_(False)
        self.train()
        self.register_load_state_dict_post_hook(type(self)._note_weights)

    def _note_weights(self, *args):
        self.is_init = True

    def train(self, mode: bool = True):
        """Set the training mode; a frozen ViT stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def load(self):
        """Load the weights from ``pretrained``; without it, they stay random, which only a trained ViT may be.

        Raises:
            OSError: The source does not exist or holds no ViT.
            ValueError: The ViT has another number of classes or other layers than the config.
        """
        if self.pretrained is None:
            return
        found = _read_weights(self.pretrained)
        if self.with_logits and found.config.num_labels != self.num_labels:
            raise ValueError(
                f'{self.pretrained}: the weights have {found.config.num_labels} classes, but the config of the '
                f'classifier has {self.num_labels}: set classifier to the model that the weights belong to'
            )
        weights = (found if self.with_logits else found.vit).state_dict()
        targets = self.vit.state_dict()
        if other := [name for name, target in targets.items() if weights.get(name, target[:0]).shape != target.shape]:
            raise ValueError(
                f'{self.pretrained}: expected the weights of a ViT with the same layers as the classifier; '
                f'{len(other)} of {len(targets)} weights differ or are missing, such as {other[0]}'
            )
        self.vit.load_state_dict({name: weights[name] for name in targets})
        self.is_init = True

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Classify images.

        Args:
            images (Tensor): ``(B, 3, H, W)``, RGB in [-1, 1].

        Returns:
            Tensor: Logits ``(B, num_labels)``; or, without ``with_logits``, the state of the class token after the last
            block and before the final norm, ``(B, out_dims)``.

        Raises:
            RuntimeError: The ViT is frozen and has no weights.
        """
        if self.frozen and not self.is_init and not images.is_meta:
            raise RuntimeError(
                'The image classifier is frozen and has no weights: load a checkpoint of the model, set pretrained in '
                'the prompts and call init_weights(), or set frozen=False to train it'
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            output = self.vit(self.pixel_values(images))
        return output.logits if self.with_logits else output.last_hidden_state[:, 0]

    @torch.no_grad()
    def pixel_values(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the ViT sees of images ``(B, 3, H, W)``, RGB in [-1, 1]: ``(B, 3, S, S)`` in [-1, 1]."""
        if _has_values(images):
            resized = _resize(images, self.image_size)
        else:  # a graph is traced or shapes are propagated, for which PIL needs the values
            size = (self.image_size,) * 2
            resized = F.interpolate(square_levels(images), size, mode='bilinear', antialias=True).round()
        return (resized / LEVELS - 0.5) / 0.5


def read_vit_config(classifier: str | Path | dict) -> ViTConfig:
    """Read the config of a ViT, see :class:`ImageClassifier`.

    Raises:
        ValueError: It does not exist, or describes another model.
    """
    if isinstance(classifier, dict) or classifier in PRESETS:
        return _build_config(classifier if isinstance(classifier, dict) else PRESETS[classifier])
    try:
        config, _ = ViTConfig.get_config_dict(classifier)
    except (OSError, ValueError) as error:
        raise ValueError(
            f'classifier={str(classifier)!r}: expected {VIT!r}, a folder with config.json, or a hub id that is in the '
            f'cache or can be downloaded ({_first_line(error)})'
        ) from error
    if (kind := config.get('model_type')) != ViTConfig.model_type:
        raise ValueError(f'classifier={str(classifier)!r}: expected a ViT, got model_type={brief(kind)}')
    return _checked(ViTConfig.from_dict(config))


def _build_config(arguments: dict) -> ViTConfig:
    if unknown := set(arguments) - set(ViTConfig().to_dict()) - {'num_labels'}:
        raise ValueError(
            f'classifier: no argument {brief(sorted(unknown)[0])}; expected arguments of ViTConfig, such as image_size'
        )
    try:
        config = _checked(ViTConfig(**arguments))
        with torch.device('meta'):
            ViTForImageClassification(config)
    except Exception as error:  # transformers has no common error for a wrong config
        raise ValueError(f'classifier={brief(arguments)}: expected a valid ViTConfig ({_first_line(error)})') from error
    return config


def _checked(config: ViTConfig) -> ViTConfig:
    if not isinstance(config.image_size, int):
        raise ValueError(f'image_size={config.image_size}: expected the side of square images')
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f'hidden_size={config.hidden_size}: expected a multiple of num_attention_heads={config.num_attention_heads}'
        )
    return config


def _read_weights(source: str | Path) -> ViTForImageClassification:
    try:
        network, report = ViTForImageClassification.from_pretrained(source, output_loading_info=True)
    except Exception as error:  # transformers, safetensors and torch have no common error for a damaged file
        raise OSError(
            f'pretrained={str(source)!r}: expected a ViT of transformers, as a folder, or as a hub id that is in the '
            f'cache or can be downloaded ({_first_line(error)})'
        ) from error
    if missing := sorted(report['missing_keys']):
        raise OSError(
            f'pretrained={str(source)!r}: expected all weights of a ViT that classifies images; {len(missing)} are '
            f'missing, such as {missing[0]}'
        )
    MMLogger.get_current_instance().info(f'The image classifier was loaded from {source}')
    return network


def _first_line(error: Exception) -> str:
    return str(error).strip().partition('\n')[0]


def _has_values(images: torch.Tensor) -> bool:
    is_traced = torch.jit.is_tracing() or torch.compiler.is_exporting()
    return type(images) is torch.Tensor and not images.is_meta and not is_traced


def square_levels(images: torch.Tensor) -> torch.Tensor:
    """Return images ``(B, 3, H, W)`` in [-1, 1] as whole levels 0 to 255, padded with 0 to squares ``(B, 3, N, N)``.

    The padding is at the bottom or the right. Fractions are cut, not rounded, as in the official code.
    """
    height, width = images.shape[-2:]
    side = max(height, width)
    levels = ((images.float() + 1) / 2 * LEVELS).clamp(0, LEVELS).trunc()
    return F.pad(levels, (0, side - width, 0, side - height))


@torch.compiler.disable  # PIL needs arrays
def _resize(images: torch.Tensor, size: int) -> torch.Tensor:
    arrays = square_levels(images).to('cpu', torch.uint8).permute(0, 2, 3, 1).numpy()  # (B, N, N, 3)
    pictures = [Image.fromarray(array).resize((size, size), Image.Resampling.BILINEAR) for array in arrays]
    resized = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)  # (B, 3, S, S)
    return resized.to(images.device, images.dtype)
