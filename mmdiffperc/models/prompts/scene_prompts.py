"""One prompt per image: the class of its scene."""

from collections.abc import Sequence

import torch
from mmengine.logging import MMLogger

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import validated
from mmdiffperc.weights.official_checkpoints import without_mean

from .base_prompts import CATEGORY
from .class_prompts import ClassPrompts

UNKNOWN = -1


@MODELS.register_module()
@validated
class ScenePrompts(ClassPrompts):
    """One prompt per image: the prompt of its scene class, or the mean of all prompts if the scene is unknown.

    As in the depth estimation of `VPD <https://arxiv.org/abs/2303.02153>`_. The scene classes of NYU depth v2 are the
    classes of mmseg's ``NYUDataset``. These, and the rows of the official embeddings, have the order of the official
    ``nyu_class_list.json``: 0 printer_room, 1 bathroom, 2 living_room, 3 study, 4 conference_room, 5 study_room,
    6 kitchen, 7 home_office, 8 bedroom, 9 dinette, 10 playroom, 11 indoor_balcony, 12 laundry_room, 13 basement,
    14 excercise_room, 15 foyer, 16 home_storage, 17 cafe, 18 furniture_store, 19 office_kitchen, 20 student_lounge,
    21 dining_room, 22 reception_room, 23 computer_lab, 24 classroom, 25 office, 26 bookstore.

    The arguments are those of :class:`ClassPrompts`. A file of embeddings may end with their mean, as mmseg's does.
    With SDXL and ``pooled='mean'``, the pooled embedding of an image is also chosen by its scene.
    """

    condition = CATEGORY
    num_prompts = 1
    class_names = ()
    _reported = False

    def _fill(self, found, target):
        super()._fill(without_mean(found, len(self.classes)) if isinstance(found, torch.Tensor) else found, target)

    def forward(
        self, batch_size: int, condition: torch.Tensor | Sequence[int] | None = None, step: int = 0
    ) -> torch.Tensor:
        """Choose and refine a prompt for each image.

        Args:
            batch_size (int): Number of images ``B``.
            condition (Tensor | Sequence[int], optional): Scene class of each image ``(B,)``, -1 if it is unknown.
                Default: all unknown.
            step (int): Not used.

        Returns:
            Tensor: Prompt embeddings ``(B, 1, C)``.

        Raises:
            ValueError: A scene class does not exist. On a GPU, PyTorch raises an error that does not name it: callers
                use :meth:`check_condition` before they copy the scene classes there, as
                :class:`.DiffusionDepthEstimator` does.
        """
        # A graph has no values to check, and the host would wait for those of a GPU.
        if condition is not None and not (_is_on_gpu(condition) or torch.compiler.is_compiling()):
            self.check_condition(condition)
        return self.adapter(_choose(self.embeddings, condition, batch_size)).unsqueeze(1)

    def embed_pooled(
        self, batch_size: int, condition: torch.Tensor | Sequence[int] | None = None, step: int = 0
    ) -> torch.Tensor | None:
        """Return the pooled embedding of each image's scene ``(B, P)``, or None."""
        if self.pooled_embeddings is None or self.pooled == 'empty':
            return super().embed_pooled(batch_size)
        return _choose(self.pooled_embeddings, condition, batch_size)

    def check_condition(self, condition: Sequence[int] | torch.Tensor):
        """Check that the scene class of each image exists, and warn once of unknown scenes.

        Args:
            condition (Sequence[int] | Tensor): Scene class of each image ``(B,)``.

        Raises:
            ValueError: A scene class does not exist.
        """
        category_ids = torch.as_tensor(condition).tolist()
        if not all(UNKNOWN <= index < len(self.classes) for index in category_ids):
            raise ValueError(
                f'category ids {category_ids}: expected 0 to {len(self.classes) - 1}, or {UNKNOWN} for an unknown '
                'scene. Check that the data set has the scene classes of the prompts'
            )
        if UNKNOWN in category_ids and not self._reported:
            self._reported = True
            MMLogger.get_current_instance().warning(
                'An image of an unknown scene gets the mean of all scene prompts. NYUDataset reads the scene from the '
                f'file name, as in {self.classes[0]}_0001.jpg; the known scenes are {", ".join(self.classes)}'
            )


def _is_on_gpu(condition) -> bool:
    return isinstance(condition, torch.Tensor) and condition.device.type != 'cpu'


def _choose(embeddings, category_ids, batch_size) -> torch.Tensor:
    """Return the row of each category id, which is the mean of all rows if the scene is unknown."""
    mean = embeddings.mean(0, keepdim=True)
    if category_ids is None:
        return mean.expand(batch_size, -1)
    return torch.cat([embeddings, mean])[category_ids]  # the mean has index -1
