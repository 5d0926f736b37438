import numpy as np
import pytest

from mmdiffperc.toy_scenes.domains import DOMAINS
from mmdiffperc.toy_scenes.outdoors import GROUNDS
from mmdiffperc.toy_scenes.sampling import sample_scene
from mmdiffperc.toy_scenes.textures import PATTERNS
from mmdiffperc.toy_scenes.vocabulary import OBJECT_COLOURS

A, B, E = (DOMAINS[name] for name in 'abe')
GROUND_PATTERNS = {ground.pattern for ground in GROUNDS.values()}
SURFACES = ('object_patterns', 'floor_patterns', 'wall_patterns')


def test_domains_share_no_pattern():
    patterns = [{name for surface in SURFACES for name in getattr(domain, surface)} for domain in (A, B)]
    assert patterns[0] | patterns[1] | GROUND_PATTERNS == set(PATTERNS)
    assert not patterns[0] & patterns[1] and not GROUND_PATTERNS & (patterns[0] | patterns[1])


def test_light_of_domain_b_is_lower_and_harder():
    """Its softest light has more contrast than the hardest one of domain a: 0.8 / 0.34 > 0.8 / 0.4."""
    assert B.lamp_strength[0] / B.ambient[1] > A.lamp_strength[1] / A.ambient[0]
    assert np.mean(B.lamp_height) < np.mean(A.lamp_height)
    ranges = [getattr(domain, name) for domain in (A, B) for name in ('lamp_height', 'lamp_strength', 'ambient')]
    assert all(0 < low < high for low, high in ranges)


def test_rooms_at_night_are_dark_and_their_lamps_coloured():
    assert E.ambient[1] < B.ambient[0] / 1.5
    hues = [scene.light.colour / scene.light.colour.max() for scene in (sample_scene([6, n], 'e') for n in range(20))]
    assert np.mean([hue.min() for hue in hues]) < 0.55 and len({int(hue.argmax()) for hue in hues}) == 3


@pytest.mark.parametrize('name', OBJECT_COLOURS)
def test_tinted_paint_keeps_its_name(name):
    """It is warmer: redder, and less blue."""
    tinted = np.array(OBJECT_COLOURS[name]) * B.tint
    distances = {other: np.linalg.norm(tinted - colour) for other, colour in OBJECT_COLOURS.items()}
    assert min(distances, key=distances.get) == name
    assert B.tint[0] > B.tint[1] > B.tint[2] and (A.tint == 1).all()
