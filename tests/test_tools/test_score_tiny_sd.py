"""The scores of tiny-sd: captions, labels and shares by hand, and the whole tool with few scenes and steps."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from score_tiny_sd import TEMPLATES, main, make_captions, missing, shares_found
from tiny_sd.card import add_scores
from tiny_sd.scene_classifier import (
    ANY,
    CELL,
    COLOURS,
    NOUNS,
    SIZE,
    balanced_thresholds,
    count_pixels,
    error_rates,
    find,
    shown_in,
)

from mmdiffperc.files import read_json
from mmdiffperc.toy_scenes import render, sample_scene

RED, BLUE = COLOURS.index('red'), COLOURS.index('blue')
SPHERE, BOX = NOUNS.index('sphere'), NOUNS.index('box')


def presence(*images: dict[int, int]) -> np.ndarray:
    """What images show, each given as the colours of its nouns."""
    shown = np.zeros((len(images), len(NOUNS), 1 + len(COLOURS)), bool)
    for row, image in zip(shown, images, strict=True):
        for noun, colour in image.items():
            row[noun, [ANY, 1 + colour]] = True
    return shown


def test_captions_name_one_or_two_objects_with_different_nouns():
    objects, captions = make_captions(40, seed=3)
    assert {len(pairs) for pairs in objects} == {1, 2}
    for pairs, caption in zip(objects, captions, strict=True):
        phrases = [f'{COLOURS[colour]} {NOUNS[noun]}' for noun, colour in pairs]
        articles = ['an' if phrase.startswith('o') else 'a' for phrase in phrases]
        said = ' and '.join(map(' '.join, zip(articles, phrases, strict=True)))
        assert caption in [template.format(said) for template in TEMPLATES]
        assert len({noun for noun, _ in pairs}) == len(pairs)
    assert make_captions(40, seed=3)[1] == captions != make_captions(40, seed=4)[1]


def test_labels_are_those_of_the_instances():
    rendering = render(sample_scene(5), SIZE)
    shown = shown_in(rendering)
    assert {(NOUNS[noun], COLOURS[colour]) for noun, colour in np.argwhere(shown[:, ANY + 1 :])} == {
        (instance.class_name, instance.colour) for instance in rendering.instances
    }
    assert {NOUNS[noun] for noun in np.flatnonzero(shown[:, ANY])} == {
        instance.class_name for instance in rendering.instances
    }
    cells = count_pixels(rendering).astype(int)
    nouns, colours = cells[: len(NOUNS)], cells[len(NOUNS) :]
    for counts, names, key in ((nouns, NOUNS, 'class_name'), (colours, COLOURS, 'colour')):
        areas = dict.fromkeys(names, 0)
        for instance in rendering.instances:
            areas[getattr(instance, key)] += instance.area
        assert counts.sum(axis=(1, 2)).tolist() == list(areas.values())
    (instance,) = (one for one in rendering.instances if one.index == 0)
    rows, columns = np.nonzero(rendering.instance_map == 1)
    assert nouns[NOUNS.index(instance.class_name), rows[0] // CELL, columns[0] // CELL] > 0


def test_shares_and_chance_by_hand():
    """Four images: right, wrong in colour, one noun of two, and nothing."""
    found = presence({SPHERE: RED}, {SPHERE: BLUE}, {SPHERE: RED}, {})
    captions = [[(SPHERE, RED)], [(SPHERE, RED)], [(SPHERE, RED), (BOX, BLUE)], [(BOX, RED)]]
    shares = shares_found(found, [np.array(pairs) for pairs in captions])
    # Of the twelve captions of other images, the first two fit two images each by noun; by pair, the first fits one and
    # the second two.
    assert shares == pytest.approx(
        {'nouns': 2 / 4, 'nouns by chance': 4 / 12, 'pairs': 1 / 4, 'pairs by chance': 3 / 12}
    )
    assert missing(found[2], np.array(captions[2])) == ['box']
    assert missing(found[1], np.array(captions[1])) == ['red sphere']
    assert missing(found[0], np.array(captions[0])) == []


def test_thresholds_balance_misses_and_false_positives():
    """From 0.6, a quarter is missed, and nothing is found wrongly; with 0.3, half of the others would be."""
    scores, shown = np.zeros((6, len(NOUNS), 1 + len(COLOURS))), presence(*[{SPHERE: RED}] * 4, {BOX: RED}, {BOX: RED})
    scores[:, SPHERE, ANY] = [0.9, 0.8, 0.6, 0.2, 0.3, 0.1]
    scores[:4, SPHERE, 1 + RED] = 0.5
    thresholds = balanced_thresholds(scores, shown)
    assert thresholds[SPHERE, ANY] == 0.6
    assert (thresholds[SPHERE, 1:] == 0.5).all()  # of red and of all other colours
    found = find(scores, thresholds)
    assert found[:, SPHERE, 1 + RED].tolist() == [True] * 3 + [False] * 3  # the noun is missed in the fourth
    rates = error_rates(found, shown)['sphere']
    assert rates == pytest.approx({'accuracy': 5 / 6, 'recall': 3 / 4, 'false positives': 0})


@pytest.fixture(scope='module')
def scored(tmp_path_factory):
    """The work directory of a run, and its results."""
    folder = tmp_path_factory.mktemp('scores')
    assert run(folder) == 0
    return folder, json.loads((folder / 'scores.json').read_text())


def run(folder: Path, *options: str) -> int:
    sizes = {'--num-scenes': 16, '--classifier-steps': 1, '--num-captions': 2, '--num-steps': 1, '--batch-size': 1}
    sizes = [str(word) for item in sizes.items() for word in item]
    return main(['--work-dir', str(folder), *sizes, *options])


def test_results_and_samples_are_written(scored):
    folder, results = scored
    assert results['images'].keys() == {'samples', 'reconstructions', 'scenes'}
    assert results['classifier']['scenes'].keys() == {'nouns', 'pairs', *NOUNS}
    assert [sample['caption'] for sample in results['samples']] == make_captions(2, seed=0)[1]
    complete = sum(not sample['missing'] for sample in results['samples'])
    assert results['images']['samples']['pairs'] == complete / 2
    assert cv2.imread(str(folder / 'samples.png')).shape == (SIZE, 2 * SIZE, 3)


def test_another_run_uses_the_classifier_and_equals_the_first(scored, tmp_path, capsys):
    """The batch size differs."""
    folder, results = scored
    (path,) = folder.glob('classifier-*.pt')
    before = path.stat().st_mtime_ns
    assert run(folder, '--batch-size', '2', '--out', str(tmp_path)) == 0
    assert path.stat().st_mtime_ns == before
    again = json.loads((tmp_path / 'scores.json').read_text())
    assert again['images'] == results['images'] and again['samples'] == results['samples']
    shown = capsys.readouterr().out
    assert f'| {100 * results["classifier"]["scenes"]["pairs"]["recall"]:.1f} %' in shown


def test_the_card_shows_two_models_side_by_side(scored, tmp_path):
    """A second run replaces the section."""
    results, card = scored[1], tmp_path / 'README.md'
    first = {'samples': {**results['images']['samples'], 'nouns': 0.125}}
    other = {**results, 'images': {**results['images'], **first}}
    card.write_text('# tiny-sd\n\n## Size\n\n1\n')
    add_scores(card, {'this model': other})
    add_scores(card, {'this model': results, 'first release': other})
    lines = card.read_text().splitlines()
    (row,) = (line for line in lines if line.startswith('| samples, first release |'))
    assert row.split('|')[2].strip() == '12.5 %'
    assert len([line for line in lines if line.startswith('| reconstructions')]) == 2
    assert [line for line in lines if line.startswith('## ')] == ['## Captions', '## Size'] and lines[-1] == '1'
    assert f'guidance scale {results["options"]["guidance_scale"]:g} and' in card.read_text().replace('\n', ' ')


def test_the_shipped_card_shows_the_stored_scores(tmp_path):
    root = Path(__file__).parents[2]
    names = {'this model': 'tiny-sd', 'first release': 'first-release'}
    scores = {model: read_json(root / 'resources/measured/samples' / f'{name}.json') for model, name in names.items()}
    shipped = (root / 'mmdiffperc/assets/tiny-sd/README.md').read_text()
    card = tmp_path / 'README.md'
    card.write_text(shipped)
    add_scores(card, scores)
    assert card.read_text() == shipped
