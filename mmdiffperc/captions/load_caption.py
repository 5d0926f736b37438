"""Hand the caption of an image to the model."""

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from mmdiffperc.inference.metadata import METADATA
from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import Expected, Location, validated

from .caption_file import CaptionFile


def _has_one_place(template: str) -> str:
    if template.count('{}') != 1:
        raise ValueError
    return template


CaptionTemplate = Annotated[
    str,
    AfterValidator(_has_one_place),
    Expected("a text with one {} for the caption, such as 'a watercolor painting of a {}'"),
]
FixedCaption = Annotated[str, Expected("a caption for all images, such as '' or 'a street'")]


@TRANSFORMS.register_module()
@validated
class LoadCaption:
    """Set ``text``, the caption that :class:`.CaptionPrompts` reads, for any host.

    From `TADP <https://arxiv.org/abs/2310.00031>`_: one caption of the whole image serves all its crops, flips, scales
    and windows, so the transform may stand anywhere in a pipeline. The last transform must have ``text`` among its
    ``meta_keys``. ``mmdiffperc caption`` writes captions.

    A sample that has ``text`` already, such as an image of your own with a caption, keeps it; only the template is
    applied.

    Required key: ``img_path``, unless there is ``text``. Added key: ``text``.

    Args:
        ann_file (str, optional): The file of captions, see :class:`.CaptionFile`. Default: ``metadata.jsonl`` in the
            folder of the image.
        template (str): What becomes of a caption: ``'a dark night photo of a {}'`` names the style of another domain.
            Defaults to ``'{}'``.
        caption (str, optional): One caption for all images, instead of a file; it may be empty. Default: none.

    Raises:
        ValueError: When building: both a file and a caption. When loading: the file is damaged, or has no caption for
            the image, which the message names.
        FileNotFoundError: When loading: the file does not exist.
    """

    def __init__(
        self, ann_file: Location | None = None, template: CaptionTemplate = '{}', caption: FixedCaption | None = None
    ):
        if ann_file is not None and caption is not None:
            raise ValueError(f'ann_file={str(ann_file)!r} and caption={caption!r}: expected one of them')
        self.ann_file = ann_file
        self.template = template
        self.caption = caption
        self._of_folders = {}

    @cached_property
    def _file(self) -> CaptionFile:
        return CaptionFile(self.ann_file)

    def __call__(self, results: dict) -> dict:
        """Set the caption."""
        caption = results['text'] if 'text' in results else self._find(results)
        return dict(results, text=self.template.replace('{}', caption))

    def _find(self, results: dict) -> str:
        if self.caption is not None:
            return self.caption
        if 'img_path' not in results:
            raise ValueError('An image without a path needs a caption: give it as text, or set caption in LoadCaption')
        if self.ann_file is not None:
            return self._file[results['img_path']]
        folder = Path(results['img_path']).parent
        if folder not in self._of_folders:
            self._of_folders[folder] = CaptionFile(folder / METADATA)
        return self._of_folders[folder][results['img_path']]
