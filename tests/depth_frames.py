"""A frame with depth, as the transforms get it after loading."""

import numpy as np
from mmengine.dataset import Compose


def frame(depth, height=5, width=8, **extra):
    image = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    names = dict(img_path='image.png', depth_map_path='depth.png', seg_fields=['gt_depth_map'])
    names['ori_shape'] = height, width
    return dict(img=image, gt_depth_map=np.asarray(depth, np.float32), **names, **extra)


def transform(results, **config):
    return Compose([config])(results)
