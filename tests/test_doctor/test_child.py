from contextlib import nullcontext

import pytest
import torch

from mmdiffperc.doctor.child import describe_torch

GIB = 2**30


@pytest.fixture
def two_gpus(monkeypatch):
    """A GPU of 80 GiB, and one that another process has taken for itself."""

    def device(index):
        if index == 1:
            raise RuntimeError('CUDA error: all CUDA-capable devices\nare busy')
        return nullcontext()

    functions = dict(
        device=device,
        device_count=lambda: 2,
        get_device_name=lambda index: f'GPU of type {index}',
        mem_get_info=lambda: (78 * GIB, 80 * GIB),
        is_bf16_supported=lambda including_emulation: including_emulation,
    )
    for name, function in functions.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(torch.version, 'cuda', '13.2')


def test_gpus(two_gpus):
    assert describe_torch() == dict(
        gpus=[
            'GPU of type 0, 78.0 GiB free of 80.0 GiB, no bf16',
            'cannot be used: CUDA error: all CUDA-capable devices are busy',
        ],
        platform='CUDA 13.2',
    )


@pytest.mark.parametrize(('cuda', 'hip', 'platform'), [(None, None, ''), (None, '6.4', 'ROCm 6.4')])
def test_platforms(cuda, hip, platform, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(torch.version, 'cuda', cuda)
    monkeypatch.setattr(torch.version, 'hip', hip)
    assert describe_torch() == dict(gpus=[], platform=platform)
