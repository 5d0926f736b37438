"""COCO-OOD for testing: COCO val2017 in the style of paintings, in COCO's layout in ``data/coco_ood``.

Boxes are those detected in the images of COCO.
"""

boxes = 'data/coco/person_detection_results/COCO_val2017_detections_AP_H_70_person.json'
test_on = dict(
    type='CheckedCocoDataset',
    data_root='data/coco_ood/',
    data_mode='topdown',
    ann_file='annotations/person_keypoints_val2017.json',
    bbox_file=boxes,
    data_prefix=dict(img='val2017/'),
    test_mode=True,
)
test_with = dict(type='CheckedCocoMetric')
test_whole_body_on = dict(test_on, type='CocoWholeBodyDataset', ann_file='annotations/coco_wholebody_val_v1.0.json')
test_whole_body_with = dict(
    type='CocoWholeBodyMetric', ann_file='data/coco_ood/annotations/coco_wholebody_val_v1.0.json'
)
