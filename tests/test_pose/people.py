"""A person, as COCO annotates one."""

import numpy as np

KEYPOINTS = np.tile([20.0, 30.0, 2.0], 17).tolist()
FIGURE = dict(category_id=1, bbox=[10, 5, 30, 60], keypoints=KEYPOINTS, num_keypoints=17, area=900, iscrowd=0)
