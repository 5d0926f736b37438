"""One prompt per image: the class token of a vision transformer."""

from pathlib import Path

import torch

from mmdiffperc.models.layers.image_classifier import VIT, Classifier, ImageClassifier
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Location, Width, validated
from mmdiffperc.weights.sources import Source

from .base_prompts import IMAGE, BasePrompts


@MODELS.register_module()
@validated
class ImageTokenPrompts(BasePrompts):
    """One prompt per image: the class token of a ViT, trained with the task.

    The second version of ECoDepth's CIDE module, in the default branch of the `official code
    <https://github.com/Aradhye2002/EcoDepth>`_. The token is the hidden state after the last block, before the final
    norm.

    Args:
        embed_dims (int): Width ``C`` of a prompt, which must be that of the ViT. The backbone fills it in.
        classifier (str | Path | dict): The ViT, see :class:`.ImageClassifier`. Defaults to
            ``'google/vit-base-patch16-224'``.
        pretrained (str | Path, optional): Its weights, see :class:`.ImageClassifier`. They are read when weights are
            initialised, and checkpoints hold them. Default: those of ``classifier``.
        frozen (bool): Do not train the ViT. Defaults to False.

    Raises:
        ValueError: The ViT is not ``embed_dims`` wide.
    """

    condition = IMAGE
    num_prompts = 1

    def __init__(
        self,
        embed_dims: Width,
        classifier: Classifier = VIT,
        pretrained: Location | None = None,
        frozen: bool = False,
    ):
        super().__init__()
        self.classifier = ImageClassifier(classifier, pretrained, frozen, with_logits=False)
        if self.classifier.out_dims != embed_dims:
            raise ValueError(
                f'classifier: the ViT is {self.classifier.out_dims} wide, but the U-Net takes prompts of width '
                f'embed_dims={embed_dims}: choose a ViT of that width, or ImageClassPrompts, which takes any ViT'
            )

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Load the weights of the ViT."""
        self.classifier.load()

    def forward(self, batch_size: int, condition: torch.Tensor, step: int = 0) -> torch.Tensor:
        """Return prompt embeddings ``(B, 1, C)`` of images ``(B, 3, H, W)``, the ``condition``."""
        return self.classifier(condition).unsqueeze(1)
