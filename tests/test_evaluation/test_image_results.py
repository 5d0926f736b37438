import csv
import json

import pytest
from logs import heard
from pydantic import TypeAdapter, ValidationError

from mmdiffperc.evaluation.image_results import ImageResult, TablePath, counted, write_table

RESULTS = [
    ImageResult('a/1.png', dict(rmse=0.5, d1=0.25, other='not written')),
    ImageResult('a/2.png', excluded='no pixel counts'),
    ImageResult('b, c.png', dict(rmse=float('inf'), d1=float('nan'))),
    ImageResult('a/4.png', excluded='a constant prediction'),
]


def test_images_that_do_not_count_are_named(caplog):
    with heard(caplog):
        assert counted(RESULTS) == [RESULTS[0], RESULTS[2]]
        first, second = caplog.messages
    assert '1 of 4' in first and 'no pixel' in first and 'a/2.png' in first
    assert 'constant' in second and 'a/4.png' in second


def test_csv(tmp_path):
    write_table(tmp_path / 'new' / 't.csv', RESULTS, ['d1', 'rmse'])
    rows = list(csv.reader((tmp_path / 'new' / 't.csv').open()))
    assert rows[:3] == [
        ['image', 'd1', 'rmse', 'excluded'],
        ['a/1.png', '0.25', '0.5', ''],
        ['a/2.png', '', '', 'no pixel counts'],
    ]
    assert rows[3] == ['b, c.png', 'nan', 'inf', '']


def test_json(tmp_path):
    write_table(tmp_path / 't.json', RESULTS, ['rmse'])
    rows = json.loads((tmp_path / 't.json').read_text())
    assert rows[0] == dict(image='a/1.png', rmse=0.5, excluded='') and len(rows) == 4
    assert rows[1]['rmse'] is None and rows[2]['rmse'] is None


@pytest.mark.parametrize('path', ['t.csv', 'folder/t.json'])
def test_paths(path):
    TypeAdapter(TablePath).validate_python(path)
    with pytest.raises(ValidationError, match=r'\.csv or \.json'):
        TypeAdapter(TablePath).validate_python(f'{path}.txt')
