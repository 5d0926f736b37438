from threading import Thread

import pytest
import torch
from torch import nn

from mmdiffperc.inference.time_limit import TimeLimit


def test_nothing_runs_after_the_time():
    calls = []
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    model[0].register_forward_hook(lambda *_: calls.append('ran'))
    with TimeLimit(300):
        model(torch.ones(1))
    with pytest.raises(TimeoutError, match=r'\b0 seconds'), TimeLimit(0):
        model(torch.ones(1))
    assert calls == ['ran']
    model(torch.ones(1))
    assert calls == ['ran', 'ran']


def test_other_threads_have_no_limit():
    done = []
    with TimeLimit(0):
        thread = Thread(target=lambda: done.append(torch.ones(1).item()))
        thread.start()
        thread.join()
    assert done == [1]
