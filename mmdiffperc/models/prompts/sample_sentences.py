"""The sentences of the data samples that a model is processing.

Hosts pass data samples to a model, but only images to its backbone: a detector, for example, calls
``extract_feat(images)``. ``share_sentences``, one of the checks of models, notes the sentences when a model is called,
and the prompts read them here. Windows, crops and mirror images of an image thus get its sentence, in any host.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class _Call(NamedTuple):
    samples: Sequence
    outer: '_Call | None'


_call: ContextVar[_Call | None] = ContextVar('call', default=None)


def enter_call(samples: Sequence | None):
    """Note the data samples of a call of a model, in this thread."""
    _call.set(_Call(samples or (), _call.get()))


def leave_call():
    """Forget the data samples of the innermost call."""
    if call := _call.get():
        _call.set(call.outer)


@contextmanager
def samples_of(samples: Sequence) -> Iterator[None]:
    """Note the samples, or their meta information, of the images that go through the network in this context."""
    enter_call(samples)
    try:
        yield
    finally:
        leave_call()


def current_sentences(num_images: int) -> list[str] | None:
    """Return the sentence of each image, or None outside of a call with data samples.

    If there are several images per sample, such as windows, the samples repeat as a whole: first one window of every
    sample, and then the next window of every sample.

    Args:
        num_images (int): Number of images of the backbone.

    Raises:
        ValueError: A sample has no sentence; the message names it.
    """
    call = _call.get()
    if call is None or not call.samples:
        return None
    sentences = [_sentence_of(sample) for sample in call.samples]
    return sentences * max(num_images // len(sentences), 1)


def _sentence_of(sample) -> str:
    sentence = sample.get('text')
    if sentence is None:
        raise ValueError(
            f'{sample.get("img_path")}: no caption. The prompts of the backbone need one for each image: add '
            "LoadCaption to the pipeline of the data set, and 'text' to the meta_keys of its last transform"
        )
    return sentence
