"""That the comparison itself tells right from wrong."""

import json

import numpy as np
import pytest
import torch

from .agreement import assert_agrees, assert_recording_agrees

OUTPUT = torch.arange(24.0).reshape(6, 4)


def test_a_part_of_an_output():
    assert_agrees(OUTPUT, OUTPUT[::2].numpy(), 'rows')
    assert_agrees(OUTPUT, OUTPUT[::2, ::3].numpy(), 'every third of 4', strides=(2, 3))
    with pytest.raises(AssertionError, match=r'columns: 2 of 4 entries are recorded; give .*fitting: \[2, 3\]'):
        assert_agrees(OUTPUT, OUTPUT[:, ::3].numpy(), 'columns')
    with pytest.raises(AssertionError, match='wrong: relative L2'):
        assert_agrees(OUTPUT, OUTPUT[::2, ::3].numpy(), 'wrong', strides=(2, 2))


def test_all_outputs_have_to_be_recorded(tmp_path):
    np.savez(tmp_path / 'outputs.npz', a=OUTPUT[:, ::3].numpy())
    (tmp_path / 'meta.json').write_text(json.dumps(dict(outputs=dict(a=dict(stride=[1, 3])))))
    assert_recording_agrees(dict(a=OUTPUT), tmp_path / 'outputs.npz')
    with pytest.raises(AssertionError, match=r"outputs\.npz lacks \['b'\]"):
        assert_recording_agrees(dict(a=OUTPUT, b=OUTPUT), tmp_path / 'outputs.npz')
