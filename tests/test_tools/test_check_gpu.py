"""The parts of the check run on the CPU with toy models."""

import json
import math

import check_gpu
import pytest
import torch
from measuring import gpu_parts


def results_of(part, folder):
    """What a part writes, by name."""
    gpu_parts.run(part, folder / 'results.jsonl', 'cpu', tiny=True)
    lines = map(json.loads, (folder / 'results.jsonl').read_text().splitlines())
    return {entry.pop('name'): entry for entry in lines}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(gpu_parts, 'REPEATS', 1)


def test_limits_leave_time_for_the_start():
    assert sum(check_gpu.LIMITS.values()) < 8 * 60
    assert set(check_gpu.LIMITS) == {*gpu_parts.SYSTEMS, *gpu_parts.OTHERS}


@pytest.mark.parametrize('part', ['depth', 'dmp'])
def test_autocast_is_compared_with_single_precision(part, tmp_path):
    results = results_of(part, tmp_path)
    for number in (1, 2):
        assert 0 < results[f'forward, bfloat16, batch {number}: error']['relative_error'] < 0.2
    one, two = (results[f'forward, float32, batch {number}'] for number in (1, 2))
    assert two['flops'] == 2 * one['flops'] > 1e8
    assert two['images_per_second'] == pytest.approx(2 / two['seconds']) and two['utilisation'] is None
    assert results['training step, bfloat16, batch 2']['flops'] > two['flops']


def test_memory_is_predicted(tmp_path):
    results = results_of('memory', tmp_path)
    weights, gradients, everything = (entry['predicted_mib'] for entry in results.values())
    model = gpu_parts.build(gpu_parts.SYSTEMS['vpd'], gpu_parts.Setting(torch.device('cpu'), True, print))
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert weights * 2**20 == sum(each.nbytes for each in (*model.parameters(), *model.buffers()))
    assert (gradients - weights) * 2**20 == pytest.approx(4 * trained)
    assert (everything - gradients) * 2**20 == pytest.approx(8 * trained)


def test_sharding_in_one_process_changes_nothing(tmp_path):
    found = results_of('fsdp', tmp_path)['loss']
    assert found['plain'] > 0 and found['relative_error'] < 1e-5
    assert not torch.distributed.is_initialized()


def test_windows_in_batches(tmp_path):
    results = results_of('windows', tmp_path)
    *_, last = flops = [entry['flops'] for entry in results.values()]
    assert len(flops) == 4 and flops == [pytest.approx(last, rel=0.01)] * 4


def test_report_is_written_whatever_fails(tmp_path, monkeypatch, capsys):
    """One part runs, and one has no time."""
    monkeypatch.setattr(check_gpu, 'LIMITS', dict(memory=300, windows=0))
    arguments = ['--tiny', '--device', 'cpu', '--out', str(tmp_path / 'gpu'), '--time-limit', '5']
    assert check_gpu.main([*arguments, '--parts', 'memory', 'windows']) == 1
    report = json.loads((tmp_path / 'gpu/gpu.json').read_text())
    memory, windows = report['parts'].values()
    assert memory['error'] is None and len(memory['results']) == 3
    assert all(math.isfinite(entry['predicted_mib']) for entry in memory['results'].values())
    assert windows['error'] and not windows['results']
    page = (tmp_path / 'gpu/gpu.md').read_text()
    assert '## memory' in page and '## windows' in page and windows['error'] in page
    assert sorted(path.name for path in (tmp_path / 'gpu').iterdir()) == ['gpu.json', 'gpu.md']
