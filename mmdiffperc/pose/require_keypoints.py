"""Leave out persons of whom a crop shows too little."""

import numpy as np
from mmpose.registry import TRANSFORMS

from mmdiffperc.validation import PositiveInt, validated


@TRANSFORMS.register_module()
@validated
class RequireKeypoints:
    """Leave out a person with too few keypoints; the data set then takes another one at random.

    A random crop may show almost nothing of a person. From the training of `SDPose
    <https://arxiv.org/abs/2509.24980>`_, which requires 3 keypoints of 17, and 8 of 133. Only for training: a data set
    with ``test_mode=True`` fails if a person is left out.

    Place it after ``GenerateTarget``, which computes the weights that it reads. Required key: ``keypoint_weights``.

    Args:
        min_keypoints (int): Number of keypoints with a weight that a person must have. Defaults to 3.
    """

    def __init__(self, min_keypoints: PositiveInt = 3):
        self.min_keypoints = min_keypoints

    def __call__(self, results: dict) -> dict | None:
        """Return the results, or None for a person with too few keypoints.

        Raises:
            KeyError: The weights are missing.
        """
        if 'keypoint_weights' not in results:
            raise KeyError('RequireKeypoints needs keypoint_weights: put it after GenerateTarget')
        return results if np.count_nonzero(results['keypoint_weights']) >= self.min_keypoints else None
