import numpy as np
import pytest

from mmdiffperc.toy_scenes.drawing import ROOM_WASH, Pen, breaks, draw_pen

SHAPE = (40, 60)
FACING = np.broadcast_to(np.array([0.0, 0, 1]), (*SHAPE, 3))
NEAR = np.full(SHAPE, 2.0)
NOTHING = np.zeros(SHAPE, bool)


def pen(**kwargs):
    """A pen that is a pixel wide on white paper without grain."""
    options = dict(width=1 / 40, ink=np.zeros(3), paper=np.ones(3), wash=0.5, hatching=0.5, slope=1.0, grain=0.0)
    return Pen(**options | kwargs, seed=0)


def half(left, right):
    """A map whose left and right halves differ."""
    return np.where(np.arange(SHAPE[1]) < 30, left, right) * np.ones(SHAPE, int)


@pytest.mark.parametrize(
    ('things', 'normals', 'depth'),
    [
        (half(-1, 1), FACING, NEAR),
        (half(1, 1), np.where(half(0, 1)[..., None], FACING, [1.0, 0, 0]), NEAR),
        (half(1, 1), FACING, np.where(half(0, 1), 2.0, 3.0)),
    ],
    ids=['thing', 'normal', 'depth'],
)
def test_contour_where_something_breaks(things, normals, depth):
    found = breaks(things, normals, depth)
    assert found[:, 29].all() and not found[:, :29].any() and not found[:, 30:].any()
    drawing = pen().draw(things, normals, depth, np.ones((*SHAPE, 3)), NOTHING)
    assert (drawing[:, 29] == 0).all() and (drawing[:, [10, 27, 32, 50]] == 1).all()


def test_no_contour_on_a_smooth_surface():
    angles = np.linspace(-1, 1, SHAPE[1]) * np.ones(SHAPE)
    normals = np.stack([np.sin(angles), np.zeros(SHAPE), np.cos(angles)], axis=-1)
    assert not breaks(half(1, 1), normals, 2 + 0.01 * angles).any()


def test_width_is_relative_to_the_size():
    for width, columns in ((1 / 40, 1), (3 / 40, 3)):
        drawing = pen(width=width).draw(half(1, 2), FACING, NEAR, np.ones((*SHAPE, 3)), NOTHING)
        assert (drawing[20, :, 0] == 0).sum() == columns


def test_wash_is_pale_and_paler_on_the_room():
    red = np.broadcast_to(np.array([0.8, 0.1, 0.1]), (*SHAPE, 3))
    drawing = pen().draw(half(-1, 1), FACING, NEAR, red, NOTHING)
    np.testing.assert_allclose(drawing[5, 55], [0.9, 0.55, 0.55], atol=1e-6)
    np.testing.assert_allclose(drawing[5, 5], 1 - 0.5 * ROOM_WASH * np.array([0.2, 0.9, 0.9]), atol=1e-6)


def test_hatching_fills_the_shadow_alone():
    drawing = pen().draw(half(1, 1), FACING, NEAR, np.ones((*SHAPE, 3)), half(0, 1).astype(bool))
    assert (drawing[:, :30] == 1).all()
    assert 0.5 <= drawing[:, 30:].min() < 0.7 and 0.1 < (drawing[:, 30:, 0] < 0.9).mean() < 0.9


def test_grain_is_reproducible():
    grainy = pen(grain=0.05)
    one, other = (grainy.draw(half(1, 1), FACING, NEAR, np.full((*SHAPE, 3), 0.5), NOTHING) for _ in range(2))
    assert (one == other).all()
    assert one.std() == pytest.approx(0.05, rel=0.1)


def test_random_pens_leave_colours_visible():
    pens = [draw_pen(np.random.default_rng(seed)) for seed in range(50)]
    assert all(one.paper.min() > 0.8 > 0.4 > one.ink.max() and 0.5 < one.wash < 0.8 for one in pens)
    assert np.std([one.width for one in pens]) > 0.001
