"""Texts about an image: its nouns, the names of its classes, and captions in a style.

As in the code of `TADP <https://arxiv.org/abs/2310.00031>`_, so that the same random numbers give the same texts.
"""

import random
from collections.abc import Iterable, Sequence
from importlib import import_module

import numpy as np

NOUNS = ('NN', 'NNS')  # common nouns, singular and plural, in the tags of the Penn Treebank
BACKGROUND = 'background'
NLTK_DATA = ('punkt_tab', 'averaged_perceptron_tagger_eng')


def noun_text(tagged: Iterable[tuple[str, str]], unique: bool = True) -> str:
    """Join the common nouns of a sentence in their order, each only once unless ``unique`` is False.

    Args:
        tagged (Iterable[tuple[str, str]]): Words with their tags, as NLTK's ``pos_tag`` returns them.
        unique (bool): Leave out repetitions. Defaults to True.
    """
    nouns = [word for word, tag in tagged if tag in NOUNS]
    return ' '.join(dict.fromkeys(nouns) if unique else nouns)


def tag_words(sentence: str) -> list[tuple[str, str]]:
    """Split a sentence into words and tag them with NLTK.

    Raises:
        ImportError: NLTK, or the data of its tokenizer or tagger, is not installed.
    """
    try:
        nltk = import_module('nltk')
        return nltk.pos_tag(nltk.word_tokenize(sentence))
    except (ImportError, LookupError) as error:
        raise ImportError(
            f'Nouns need NLTK and its data: pip install nltk, and then python -m nltk.downloader {" ".join(NLTK_DATA)}'
        ) from error


def without_last_character(caption: str) -> str:
    """Cut the last character of a caption, which the official code does to remove a line break, whatever it is."""
    return caption[:-1]


def present_classes(labels: np.ndarray, num_classes: int) -> list[int]:
    """Return the classes of a label map in their order; other numbers, such as 255, are ignored."""
    return [int(label) for label in np.unique(labels) if 0 <= label < num_classes]


def class_text(
    present: Sequence[int],
    classes: Sequence[str],
    remove_number: int = 0,
    remove_share: float = 0,
    add_number: int = 0,
    add_share: float = 0,
    shuffle: bool = False,
    rng: random.Random | None = None,
) -> str:
    """Join the names of the present classes in the order of the classes, after changes that make the text worse.

    The changes are made in the order of the arguments. They neither remove nor add the background.

    Args:
        present (Sequence[int]): The classes in the image.
        classes (Sequence[str]): All class names.
        remove_number (int): Number of names to remove; from an image with no more names, none is removed. Defaults
            to 0.
        remove_share (float): Probability with which each name is removed. Defaults to 0.
        add_number (int): Number of absent names to add. Defaults to 0.
        add_share (float): Probability with which each absent name is added. Defaults to 0.
        shuffle (bool): Put the names in a random order. Defaults to False.
        rng (random.Random, optional): Source of random numbers. Default: Python's global one.
    """
    rng = rng or random
    names = {classes[index] for index in sorted(present)}

    def among(is_present: bool) -> list[str]:
        return [name for name in classes if name != BACKGROUND and (name in names) == is_present]

    if remove_number and len(among(True)) > remove_number:
        names -= set(rng.sample(among(True), remove_number))
    if remove_share:
        names -= {name for name in among(True) if rng.random() < remove_share}
    if add_number:
        names |= set(rng.sample(among(False), min(add_number, len(among(False)))))
    if add_share:
        names |= {name for name in among(False) if rng.random() < add_share}
    ordered = [name for name in classes if name in names]
    if shuffle:
        rng.shuffle(ordered)
    return ' '.join(ordered)
