import json
import sys

import caption_images
import numpy as np
import pytest

from mmdiffperc.captions.caption_texts import class_text, noun_text, present_classes, tag_words

CLASSES = ['background', 'dog', 'traffic light', 'cat']


def test_nouns():
    tagged = [('the', 'DT'), ('dogs', 'NNS'), ('see', 'VBP'), ('Rex', 'NNP'), ('dogs', 'NNS'), ('sofa', 'NN')]
    assert noun_text(tagged) == 'dogs sofa' and noun_text(tagged, unique=False) == 'dogs dogs sofa'
    assert noun_text([]) == ''


def test_nouns_without_nltk(monkeypatch):
    monkeypatch.setitem(sys.modules, 'nltk', None)
    with pytest.raises(ImportError, match='pip install nltk.*averaged_perceptron_tagger_eng'):
        tag_words('a dog')


@pytest.fixture
def nltk_data(tmp_path, monkeypatch):
    """An empty folder in which NLTK looks for its data, and nowhere else."""
    nltk = pytest.importorskip('nltk')
    monkeypatch.setattr(nltk.data, 'path', [str(tmp_path)])
    yield tmp_path
    nltk.data.clear_cache()


def train_nltk(folder):
    """Train NLTK's tagger and its sentence splitter, and write them in the format and to the place of its data."""
    from nltk.tag.perceptron import PerceptronTagger
    from nltk.tokenize.punkt import PunktTrainer, save_punkt_params

    words = dict(a='DT', two='CD', red='JJ', sphere='NN', spheres='NNS', box='NN', boxes='NNS', see='VBP', you='PRP')
    words |= dict(of='IN', can='MD', behind='IN', photo='NN') | {'.': '.'}
    texts = (
        'a photo of a red sphere behind two boxes .',
        'you can see two red spheres .',
        'a photo of a box behind a sphere .',
    )
    tagger = PerceptronTagger(load=False)
    tagger.train([[(word, words[word]) for word in text.split()] for text in texts] * 5)
    place = folder / 'taggers' / 'averaged_perceptron_tagger_eng'
    place.mkdir(parents=True)
    tagger.save_to_json(lang='eng', loc=str(place))
    place = folder / 'tokenizers' / 'punkt_tab' / 'english'
    place.mkdir(parents=True)
    save_punkt_params(PunktTrainer(' '.join(texts)).get_params(), str(place))


def test_nouns_with_nltk(nltk_data):
    with pytest.raises(ImportError, match='nltk.downloader punkt_tab'):
        tag_words('a dog')
    train_nltk(nltk_data)
    tagged = tag_words('A photo of two red spheres behind a box, a sphere.')
    assert [word for word, _ in tagged] == 'A photo of two red spheres behind a box , a sphere .'.split()
    assert noun_text(tagged) == 'photo spheres box sphere'


def test_tool_writes_nouns(nltk_data, tmp_path):
    train_nltk(nltk_data)
    captions, nouns = tmp_path / 'captions.json', tmp_path / 'nouns.json'
    captions.write_text(
        json.dumps({'a.png': {'captions': ['two red boxes.']}, 'b.png': {'captions': ['a photo of a box.']}})
    )
    assert caption_images.main(['--caption-file', str(captions), '--nouns', '--out-file', str(nouns)]) == 0
    assert {name: entry['captions'] for name, entry in json.loads(nouns.read_text()).items()} == {
        'a.png': ['boxes'],
        'b.png': ['photo box'],
    }


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
