import pytest
from logs import heard

from mmdiffperc.pose import CheckedCocoDataset

from .people import FIGURE


def test_detections_outside_are_left_out(load, caplog):
    good, outside, empty, partly = [10, 5, 30, 60], [10, -70, 30, 60], [10, 5, 30, 0], [-20, 40, 30, 60]
    with heard(caplog):
        dataset = load(FIGURE, detections=[outside, good, empty, partly], kind=CheckedCocoDataset)
    assert [sample['bbox'].tolist() for sample in dataset] == [[[10, 5, 40, 65]], [[-20, 40, 10, 100]]]
    (message,) = (text for text in caplog.messages if 'boxes.json' in text)
    assert 'image: 2' in message
    with pytest.raises(ValueError, match=r'boxes\.json.*1 boxes'):
        load(FIGURE, detections=[outside])
