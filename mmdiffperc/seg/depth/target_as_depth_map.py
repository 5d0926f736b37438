"""Depth of published data sets for mmseg's depth estimators."""

import numpy as np
from mmseg.registry import TRANSFORMS

from mmdiffperc.validation import validated


@TRANSFORMS.register_module()
@validated
class TargetAsDepthMap:
    """Turn the depth that ``LoadPublishedTarget`` has read into the depth map that mmseg packs and evaluates.

    Without ``gt_target``, as when a test pipeline runs on your own image, it does nothing.

    Required keys: ``gt_target`` and ``gt_valid``. Added key: ``gt_depth_map``, ``(H, W)`` in single precision, 0 where
    the depth is unknown.
    """

    def __call__(self, results: dict) -> dict:
        """Add the depth map."""
        if 'gt_target' not in results:
            return results
        return dict(results, gt_depth_map=np.where(results['gt_valid'] > 0, results['gt_target'], 0).astype(np.float32))
