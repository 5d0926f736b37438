"""Inferencers whose models may read a caption of the image."""

import argparse

from mmdiffperc.models.prompts.base_prompts import SENTENCE
from mmdiffperc.models.prompts.sentences import check_sentences
from mmdiffperc_cli.options import add_shared

from .controls import Control
from .inferencer import ImageInferencer
from .inputs import Frame


class CaptionedInferencer(ImageInferencer):
    """The base of inferencers of any task, whose models may have :class:`.CaptionPrompts`.

    Options of a call:

    - ``text`` (str, optional): A caption of the images, in English, for a model that reads captions. It may be empty.
      Default: the caption of each image in the ``metadata.jsonl`` of its folder.

    Raises:
        TypeError: In a call: ``text`` is not a string.
        ValueError: In a call: the model reads captions, and an image has neither text nor caption; or the model reads
            none and there is a text; or the text is not in Latin script.
    """

    preprocess_kwargs = {'text'}

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser):
        """Add ``--text``."""
        note = 'a caption in English, for models that read captions; default: the captions in metadata.jsonl'
        add_shared(parser, '--text', note)

    @property
    def controls(self) -> tuple[Control, ...]:
        """The caption, if the model reads one."""
        return (Control('text', 'text', 'Caption', 'What the image shows, in English.'),) if self.reads_captions else ()

    @property
    def reads_captions(self) -> bool:
        """Whether the prompts of the model are made of sentences."""
        prompts = getattr(getattr(self.model, 'backbone', None), 'prompts', None)
        return getattr(prompts, 'condition', None) == SENTENCE

    def describe(self, frame: Frame, text: str | None = None) -> dict:
        """Return the caption, if the model reads one."""
        if not self.reads_captions:
            if text is not None:
                raise ValueError(f'text={text!r:.100}: this model reads no captions; leave it out')
            return {}
        text = frame.source.caption if text is None else text
        if text is None:
            raise ValueError(
                f'{frame.source.name}: this model reads a caption of the image. Give a text, or a folder whose '
                'metadata.jsonl has a caption for each image'
            )
        check_sentences([text], 1, takes_empty=True)
        return dict(text=text)
