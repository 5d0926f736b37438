from itertools import combinations

import numpy as np
import pytest

from mmdiffperc.toy_scenes.vocabulary import (
    OBJECT_COLOURS,
    ROOM_COLOURS,
    SCENE_CATEGORIES,
    TOY_CLASSES,
    TOY_PALETTE,
    jittered,
)


@pytest.mark.parametrize('name', OBJECT_COLOURS)
def test_jitter_keeps_the_name(name):
    rng = np.random.default_rng(0)
    samples = np.array([jittered(OBJECT_COLOURS[name], rng, 0.04) for _ in range(200)])
    names, colours = list(OBJECT_COLOURS), np.array(list(OBJECT_COLOURS.values()))
    nearest = np.linalg.norm(samples[:, None] - colours, axis=-1).argmin(axis=1)
    assert (nearest == names.index(name)).mean() > 0.95
    assert samples.std(axis=0).min() > 0.01
    assert samples.min() >= 0 and samples.max() <= 1


def test_palette_leads_back_to_the_classes():
    assert len(TOY_PALETTE) == len(TOY_CLASSES) == 11
    for one, other in combinations(np.array(TOY_PALETTE), 2):
        assert np.abs(one - other).sum() > 100


def test_rooms_have_named_colours():
    assert all(name in ROOM_COLOURS for looks in SCENE_CATEGORIES.values() for names in looks for name in names)
