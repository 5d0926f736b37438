import importlib.util

import numpy as np
import pytest

from mmdiffperc.captions.caption_texts import class_text, noun_text, present_classes, tag_words

CLASSES = ['background', 'dog', 'traffic light', 'cat']


def test_nouns():
    tagged = [('the', 'DT'), ('dogs', 'NNS'), ('see', 'VBP'), ('Rex', 'NNP'), ('dogs', 'NNS'), ('sofa', 'NN')]
    assert noun_text(tagged) == 'dogs sofa' and noun_text(tagged, unique=False) == 'dogs dogs sofa'
    assert noun_text([]) == ''


@pytest.mark.skipif(importlib.util.find_spec('nltk') is not None, reason='NLTK is installed')
def test_nouns_without_nltk():
    with pytest.raises(ImportError, match='nltk'):
        tag_words('a dog')


def test_present_classes():
    assert present_classes(np.array([[3, 255, 1], [1, 3, 4]]), 4) == [1, 3]


def test_text_of_classes():
    assert class_text([3, 0, 2], CLASSES) == 'background traffic light cat'
    assert class_text([], CLASSES) == ''


def test_changes_spare_the_background():
    assert class_text([0, 1, 3], CLASSES, remove_share=1) == 'background'
    assert class_text([1], CLASSES, add_number=9) == 'dog traffic light cat'
    assert class_text([1], CLASSES, remove_number=1) == 'dog'
    assert class_text([0, 1, 3], CLASSES, remove_number=1) in ('background dog', 'background cat')
