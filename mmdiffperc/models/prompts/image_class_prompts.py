"""One prompt per image: a mixture of learned scenes, weighted by what an image classifier sees."""

from pathlib import Path

import torch
from torch import nn

from mmdiffperc.models.layers.image_classifier import VIT, Classifier, ImageClassifier
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Location, Width, validated
from mmdiffperc.weights.sources import Source

from .base_prompts import IMAGE, BasePrompts, build_adapter


@MODELS.register_module()
@validated
class ImageClassPrompts(BasePrompts):
    """One prompt per image: learned scene embeddings, weighted by the ImageNet classes that a ViT sees in the image.

    The CIDE module of `ECoDepth <https://arxiv.org/abs/2403.18807>`_. An MLP (Linear, GELU, Linear) and a softmax turn
    the logits of a frozen ViT into weights ``(B, N)`` of ``N`` learned embeddings, and an adapter refines the weighted
    sum. With a single prompt, cross-attention adds the same vector everywhere, so attention maps are constant.

    Args:
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        num_scenes (int): Number ``N`` of scene embeddings. Defaults to 100.
        hidden_dims (int): Width of the MLP. Defaults to 400.
        classifier (str | Path | dict): The ViT, see :class:`.ImageClassifier`. Defaults to
            ``'google/vit-base-patch16-224'``.
        pretrained (str | Path, optional): Its weights, see :class:`.ImageClassifier`. They are read when weights are
            initialised, and checkpoints hold them. Default: those of ``classifier``.
        frozen (bool): Do not train the ViT. Defaults to True.
        adapter (dict, optional): Config of a module that refines the prompt. ECoDepth has
            ``dict(type='TextAdapter')``. Default: none.
    """

    condition = IMAGE
    num_prompts = 1

    def __init__(
        self,
        embed_dims: Width,
        num_scenes: Width = 100,
        hidden_dims: Width = 400,
        classifier: Classifier = VIT,
        pretrained: Location | None = None,
        frozen: bool = True,
        adapter: Component | None = None,
    ):
        super().__init__()
        self.classifier = ImageClassifier(classifier, pretrained, frozen)
        self.mlp = nn.Sequential(
            nn.Linear(self.classifier.num_labels, hidden_dims), nn.GELU(), nn.Linear(hidden_dims, num_scenes)
        )
        self.embeddings = nn.Parameter(torch.randn(num_scenes, embed_dims))
        self.adapter = build_adapter(adapter, embed_dims)

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Load the weights of the ViT."""
        self.classifier.load()

    def forward(self, batch_size: int, condition: torch.Tensor, step: int = 0) -> torch.Tensor:
        """Return prompt embeddings ``(B, 1, C)`` of images ``(B, 3, H, W)``, the ``condition``."""
        return self.mix(self.classifier(condition))

    def weigh(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the weights of the scenes ``(B, N)``, which sum to 1, for logits ``(B, num_labels)``."""
        return self.mlp(logits).softmax(dim=-1)

    def mix(self, logits: torch.Tensor) -> torch.Tensor:
        """Return prompt embeddings ``(B, 1, C)`` for logits ``(B, num_labels)`` of the ViT."""
        return self.adapter(self.weigh(logits) @ self.embeddings).unsqueeze(1)
