"""Human-Art for testing, with its true boxes, in ``data/HumanArt``."""

test_on = dict(
    type='HumanArtDataset',
    data_root='data/',
    data_mode='topdown',
    ann_file='HumanArt/annotations/validation_humanart.json',
    bbox_file=None,
    data_prefix=dict(img=''),
    test_mode=True,
)
test_with = dict(type='CheckedCocoMetric')
