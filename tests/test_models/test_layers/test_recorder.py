"""A recorder keeps what its own thread computes during a recording, and nothing else."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import nn

from mmdiffperc.models.layers import Recorder


class Pair(nn.Module):
    """A submodule that returns a tensor, and one that returns a tuple."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.rnn = nn.RNN(3, 4)
        self.recorder = Recorder()
        for name in ('linear', 'rnn'):
            self.recorder.watch(self, name)

    def forward(self, inputs):
        return self.rnn(self.linear(inputs))[0]


def test_keeps_outputs_by_name():
    pair, inputs = Pair(), torch.randn(5, 2)
    with pair.recorder.recording() as record:
        output = pair(inputs)
    assert list(record) == ['linear', 'rnn']
    torch.testing.assert_close(record['linear'], pair.linear(inputs))
    assert record['rnn'] is output


def test_keeps_nothing_outside_a_recording():
    pair = Pair()
    with pair.recorder.recording() as record:
        pass
    pair(torch.randn(5, 2))
    assert not record


def test_an_inner_recording_hides_the_outer_one():
    recorder = Recorder()
    with recorder.recording() as outer:
        recorder.keep('a', 1)
        with recorder.recording() as inner:
            recorder.keep('a', 2)
        recorder.keep('b', 3)
    assert (outer, inner) == (dict(a=1, b=3), dict(a=2))
    assert not recorder.is_recording


def test_an_error_ends_the_recording():
    recorder = Recorder()
    try:
        with recorder.recording():
            raise ValueError
    except ValueError:
        assert not recorder.is_recording


def test_each_thread_has_its_own_record():
    recorder, barrier = Recorder(), Barrier(3)

    def record(number):
        with recorder.recording() as kept:
            barrier.wait()
            recorder.keep('a', number)
            barrier.wait()
        return kept

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(record, range(3))) == [dict(a=0), dict(a=1), dict(a=2)]


def test_a_copy_reports_to_its_own_recorder():
    pair, inputs = Pair(), torch.randn(5, 2)
    for duplicate in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        assert duplicate.recorder is not pair.recorder
        with pair.recorder.recording() as record, duplicate.recorder.recording() as other:
            duplicate(inputs)
        assert (list(record), list(other)) == ([], ['linear', 'rnn'])
