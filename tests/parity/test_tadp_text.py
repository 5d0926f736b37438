"""The texts that the official code of TADP makes: nouns, class names and their changes, post-processed captions."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from mmdiffperc.captions.caption_texts import class_text, noun_text, present_classes, without_last_character

RECORDED = json.loads((Path(__file__).parent / 'tadp_text' / 'meta.json').read_text())['values']
CLASSES = RECORDED['voc_classes']
SEED = 0
CHANGES = {
    'class_names': {},
    'class_names_shuffle': dict(shuffle=True),
    'class_names_add_n_2': dict(add_number=2),
    'class_names_add_pct_10': dict(add_share=0.1),
    'class_names_remove_n_1': dict(remove_number=1),
    'class_names_remove_pct_50': dict(remove_share=0.5),
    'class_names_remove50_add10': dict(remove_share=0.5, add_share=0.1),
}


def texts(recorded):
    return [entry['captions'] for entry in recorded.values()]


def tag(word):
    return next((tag for tag, words in RECORDED['nouns_by_hand'].items() if word in words), 'OTHER')


def test_nouns():
    tagged = [[(word, tag(word)) for word in words] for words in RECORDED['tokens']]
    assert [noun_text(words) for words in tagged] == RECORDED['nouns']
    assert [noun_text(words, unique=False) for words in tagged] == RECORDED['nouns_not_unique']
    assert texts(RECORDED['filter_nouns']) == [[text] for text in RECORDED['nouns']]


def test_names_of_all_classes():
    everything = class_text(range(len(CLASSES)), CLASSES)
    assert texts(RECORDED['all_class_names']) == [[everything]] * 3


@pytest.mark.parametrize('name', CHANGES)
def test_names_of_the_present_classes(name):
    """Training images first; the random numbers go on from image to image."""
    rng = random.Random(SEED)
    maps = RECORDED['masks']['train'] | RECORDED['masks']['val']
    present = [present_classes(np.array(labels), len(CLASSES)) for labels in maps.values()]
    assert [[class_text(one, CLASSES, rng=rng, **CHANGES[name])] for one in present] == texts(RECORDED[name])


def test_all_variants_are_compared():
    assert {name for name in RECORDED if name.startswith('class_names')} == set(CHANGES)


def test_last_character():
    assert [[without_last_character(text)] for text in RECORDED['captions']] == texts(RECORDED['blip'])
