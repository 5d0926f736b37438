"""When a number is the official one."""

import json
from pathlib import Path

import numpy as np

TOLERANCE = 2e-5


def read_strides(recording):
    """Strides of each output that a recording holds in part only, from the ``meta.json`` beside it, if there is one."""
    meta = Path(recording).parent / 'meta.json'
    outputs = json.loads(meta.read_text())['outputs'] if meta.exists() else {}
    return {name: output['stride'] for name, output in outputs.items() if 'stride' in output}


def assert_agrees(actual, recorded, name, tolerance=TOLERANCE, strides=None):
    """Compare by relative L2 distance; NaN stands where it stands.

    The recording may hold only every n-th entry of an axis: ``strides``, which may be left out where only one n gives
    the recorded shape.
    """
    strides = strides or [_only_stride(*sizes, name) for sizes in zip(actual.shape, recorded.shape, strict=True)]
    actual = actual.numpy()[tuple(slice(None, None, stride) for stride in strides)]
    assert actual.shape == recorded.shape, name
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(recorded), err_msg=name)
    distance = np.linalg.norm(np.nan_to_num(actual - recorded)) / np.linalg.norm(np.nan_to_num(recorded))
    assert distance <= tolerance, f'{name}: relative L2 distance {distance:.1e}'


def assert_recording_agrees(outputs, recording):
    """Compare all outputs, by name, with those in a file."""
    recorded, strides = np.load(recording), read_strides(recording)
    assert not (missing := set(outputs) - set(recorded.files)), f'{recording} lacks {sorted(missing)}'
    for name, values in outputs.items():
        assert_agrees(values, recorded[name], name, strides=strides.get(name))


def _only_stride(full, saved, name):
    if full == saved:
        return 1
    fitting = [stride for stride in range(1, full + 1) if -(-full // stride) == saved]
    assert len(fitting) == 1, f'{name}: {saved} of {full} entries are recorded; give the strides (fitting: {fitting})'
    return fitting[0]
