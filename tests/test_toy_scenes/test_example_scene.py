"""The image that the examples of the documentation use shows what they ask for."""

from pathlib import Path

import cv2
import numpy as np

from mmdiffperc.toy_scenes.writers.dataset import DatasetSpec, make_sample

SCENE = Path(__file__).parents[2] / 'resources/scene.png'


def test_it_is_a_validation_image_with_a_sphere_a_box_and_a_figure():
    rendering = make_sample(DatasetSpec(num_train=1000, num_val=200), 'val', 141).rendering
    # Processors round differently: some machines render a few levels that differ by 1.
    difference = np.abs(cv2.imread(str(SCENE))[..., ::-1].astype(int) - rendering.image)
    assert difference.max() <= 1 and difference.mean() < 1e-3
    seen = {thing.class_name: (thing.colour, thing.bbox) for thing in rendering.instances}
    assert {name: colour for name, (colour, _) in seen.items()} == dict(sphere='white', box='pink', figure='green')
    left, _, width, _ = seen['sphere'][1]
    assert left + width / 2 < seen['box'][1][0] + seen['box'][1][2] / 2
    x, y, width, height = seen['figure'][1]
    assert 96 < x < x + width < 124 and 32 < y < y + height < 81  # the box of the pose example
