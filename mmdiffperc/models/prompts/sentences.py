"""Clean and check sentences that users type."""

import html
import unicodedata
from collections.abc import Sequence

import ftfy

UNREADABLE = 'has no Latin letter; the text encoder knows English: translate it'


def clean(sentence: str) -> str:
    """Repair broken and full-width characters and resolve HTML entities, as CLIP does before its tokenizer."""
    return html.unescape(html.unescape(ftfy.fix_text(sentence))).strip()


def check_sentences(sentences: Sequence[str] | None, batch_size: int, takes_empty: bool = False):
    """Check that there is a sentence for each image, which may only be empty with ``takes_empty``.

    Raises:
        TypeError: The sentences are not a list of strings.
        ValueError: The number of sentences differs from the number of images, or a sentence is unreadable.
    """
    if not isinstance(sentences, (list, tuple)):
        raise TypeError(
            f'Expected a list of sentences, one for each of {batch_size} images, got {sentences!r:.100}. Call the '
            'backbone with (images, sentences), as ReferringSegmentor does, or the model with data samples that have '
            '`text`'
        )
    if len(sentences) != batch_size:
        raise ValueError(f'Expected {batch_size} sentences, one for each image, got {len(sentences)}')
    for sentence in sentences:
        if not (takes_empty and sentence == ''):
            check_sentence(sentence)


def check_sentence(sentence: str):
    """Check that a sentence can be understood.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty, or has letters but none in Latin script.
    """
    if not isinstance(sentence, str):
        raise TypeError(
            f'Expected one sentence for each image, a string, got {type(sentence).__name__} {sentence!r:.100}. If '
            'there are several, choose one'
        )
    characters = clean(sentence)
    if not any(character.isprintable() and not character.isspace() for character in characters):
        raise ValueError('A sentence is empty: say what to look for, as in "the red ball on the left"')
    if not is_readable(characters):
        raise ValueError(f'{sentence!r:.100} {UNREADABLE}')


def is_readable(text: str) -> bool:
    """Return whether the text encoder can read a text, that is, whether it has a Latin letter or no letters."""
    letters = [character for character in text if character.isalpha()]
    return not letters or any(unicodedata.name(letter, '').startswith('LATIN') for letter in letters)
