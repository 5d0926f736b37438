"""COCO person keypoints for SDPose: blurred images with a hole, whose clean version is kept.

Each config adds its codec and pipelines. Validation uses the detected boxes (70 AP on persons) of the authors.
"""

_base_ = ['./coco_keypoints.py', './sdpose_disturbance.py']

train_dataloader = dict(batch_size=16)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(bbox_file=f'{_base_.data_root}person_detection_results/COCO_val2017_detections_AP_H_70_person.json'),
)
test_dataloader = val_dataloader
