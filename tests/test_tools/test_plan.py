"""What the plan of a config says is what is counted; times follow from it."""

import json
from collections import Counter
from pathlib import Path

import plan
import pytest
import torch
from marked_blocks import blocks, table
from measuring import planning
from measuring.planning import Machine, Step, predict, total_batch_size
from measuring.speed import build_model
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
PAGE, PUBLISHED = ROOT / 'docs/scale.md', json.loads((ROOT / 'resources/plan.json').read_text())
SIZE = (64, 128)
MACHINE = Machine(
    gpus=8, nodes=2, memory=16e9, bandwidth=20e9, node_bandwidth=10e9, host_bandwidth=25e9, flops=1e14
)  # 2.5 GB/s for each GPU of a node to other nodes


def step(**values):
    defaults = dict(
        memory=None, peak=10**9, host=0, per_batch=Counter(), per_update=Counter(), to_host=0, flops=2 * 10**14
    )
    return Step(**defaults | values)


@pytest.fixture(scope='module')
def report(tiny_vpd, tmp_path_factory):
    """For two GPUs with much memory."""
    out = tmp_path_factory.mktemp('plan') / 'plan.json'
    machine = ['--gpus', '2', '--gpu-memory', '1', '--bandwidth', '10', '--tflops', '1', '--total-batch-size', '4']
    assert plan.main([tiny_vpd, *machine, '--size', *map(str, SIZE), '--out-file', str(out)]) == 0
    return json.loads(out.read_text())


def test_strategies(report, tiny_vpd):
    cfg = Config.fromfile(tiny_vpd)
    with torch.device('meta'):
        model = build_model(cfg)
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    weights = sum(each.nbytes for each in (*model.parameters(), *model.buffers()))
    assert report['total_batch_size'] == 4 and report['size'] == list(SIZE)
    assert all((each['fits'], each['batch_size'], each['accumulated']) == (True, 2, 1) for each in report['plans'])
    assert [each['strategy'] for each in report['plans']] == list(planning.strategies())
    replicated, divided, sharded, offloaded = report['plans']
    assert replicated['sent'] == trained  # half of the gradients, twice
    assert replicated['peak'] > weights + 4 * trained  # gradients, also in buckets, and two moments
    # Half of the moments; half of the new weights are sent.
    assert 0.8 * trained < replicated['peak'] - divided['peak'] < 1.2 * trained
    assert divided['sent'] == pytest.approx(1.5 * trained, rel=0.01)
    # Half of everything that is not an activation, and at times some whole units.
    assert sharded['peak'] < divided['peak']
    # Half of the weights before the forward pass, of most again before the backward pass, and of the gradients.
    assert 1.4 * trained < sharded['sent'] < 1.7 * trained
    assert offloaded['peak'] < sharded['peak'] and offloaded['sent'] == sharded['sent']
    assert offloaded['host'] == pytest.approx(weights + 3 * trained, rel=0.02)  # of both processes


def test_batch_that_fits(tiny_vpd, monkeypatch):
    """Accumulation makes up for it."""
    asked = []

    def count_it(cfg, batch_size, size, machine):
        asked.append((batch_size, cfg.optim_wrapper.accumulative_counts))
        return step(peak=batch_size * 10**9)

    monkeypatch.setattr(planning, 'strategies', lambda: {'DDP': (count_it, None)})
    cfg = Config.fromfile(tiny_vpd)
    for memory_size, expected in [(4.5e9, (True, 4, 1)), (3e9, (True, 2, 2)), (1e9, (False, 1, 4))]:
        (made,) = planning.plan(cfg, 8, SIZE, MACHINE._replace(gpus=2, nodes=1, memory=memory_size))
        assert (made.fits, made.batch_size, made.accumulated) == expected
    assert asked == [(4, 1), (4, 1), (2, 2), (4, 1), (2, 2), (1, 4)]
    assert cfg.optim_wrapper.get('accumulative_counts') is None  # the config is as before


def test_time_of_replicas():
    """A batch takes 2 s; the last backward pass, two thirds of one, hides that much of the sum of the gradients."""
    sent = Counter({('all-reduce', tuple(range(8))): 5 * 10**9})
    made = predict('DDP', True, 4, 3, step(per_update=sent), MACHINE)
    assert (made.sent, made.computing, made.sending) == (5 * 10**9, 6.0, 2.0)
    assert made.seconds == pytest.approx(3 * 2 + 2 - 2 * 2 / 3)
    assert predict('DDP', True, 4, 3, step(per_update=sent), MACHINE._replace(flops=None)).seconds is None


def test_time_of_shards():
    """Each batch takes as long as it computes, or as it sends, within a node and across; the CPU sends as well."""
    within, across = ('all-gather', (4, 5, 6, 7)), ('all-reduce', (0, 4))
    sent = Counter({within: 20 * 10**9, across: 5 * 10**9})
    made = predict('sharded', True, 1, 2, step(per_batch=sent, to_host=25 * 10**9), MACHINE)
    assert made.sending == 2 * (1 + 2 + 1) and made.seconds == 2 * 4 and made.sent == 50 * 10**9
    faster = MACHINE._replace(bandwidth=100e9, node_bandwidth=400e9)
    assert predict('sharded', True, 1, 2, step(per_batch=sent), faster).seconds == 2 * 2


@pytest.mark.parametrize(
    ('name', 'settings', 'expected'),
    [
        ('vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py', {}, 16),
        ('vpd_sd1-5-fpn_1xb2-640k_ade20k-512x512_12gb.py', dict(optim_wrapper=dict(accumulative_counts=8)), 16),
        ('mine.py', {}, 4 * 3),
        ('mine_8xb2-80k.py', dict(auto_scale_lr=dict(base_batch_size=64)), 64),
    ],
)
def test_images_in_an_update(name, settings, expected):
    cfg = Config(dict(optim_wrapper={}, train_dataloader=dict(batch_size=3)) | settings)
    assert total_batch_size(cfg, f'configs/{name}', 4) == expected


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['--gpus', '3', '--total-batch-size', '4'], '--total-batch-size'),
        (['--gpus', '8', '--total-batch-size', '4'], '--total-batch-size'),
        (['--gpus', '3', '--nodes', '2'], '--gpus'),
    ],
)
def test_wrong_numbers(options, expected, tiny_vpd, capsys):
    assert plan.main([tiny_vpd, '--gpu-memory', '8', '--bandwidth', '10', *options]) == 1
    assert expected in capsys.readouterr().err


def test_example_in_the_page():
    (block,) = blocks('counted', PAGE.read_text())
    plans = [planning.Plan(**each) for each in PUBLISHED['plans']]
    assert block == ('plan', table(planning.HEADINGS, planning.rows(plans)))
    assert {each.fits for each in plans} == {True, False}


@pytest.mark.slow
def test_example_is_current(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (command,) = (line for line in PAGE.read_text().splitlines() if line.startswith('mmdiffperc plan '))
    out = tmp_path / 'plan.json'
    assert plan.main([*command.split()[2:], '--out-file', str(out)]) == 0
    assert json.loads(out.read_text()) == PUBLISHED


def test_advice():
    plans = [
        planning.Plan('slow', True, 1, 4, 1, 0, 1, None, 9.0, None),
        planning.Plan('large', False, 4, 1, 1, 0, 1, None, 1.0, None),
        planning.Plan('best', True, 2, 2, 1, 0, 1, None, 3.0, None),
    ]
    assert planning.advice(plans).startswith('best') and 'batch_size=2' in planning.advice(plans)
    assert 'with_cp' in planning.advice(plans[1:2])
