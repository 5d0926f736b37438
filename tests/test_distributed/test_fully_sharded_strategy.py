"""Sharded training of a small model computes what plain training does, in one process and in two, and resumes."""

import pickle
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import EMAHook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import FUNCTIONS, STRATEGIES
from pages import run_snippet, write_config
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.compat.checkpoint_folder import find_fault
from mmdiffperc.compat.sharded_checkpoint import STATE, call_together
from mmdiffperc.engine import CheckFiniteHook, FullyShardedStrategy, LowMemoryOptimWrapper, StoreLatentsHook
from mmdiffperc.engine.communication_count import SentBytes, pretend_processes
from mmdiffperc.engine.memory_count import count_step
from mmdiffperc.engine.sharding import device_mesh, shard, units_of

from .processes import fork

UPDATES, HALF, ACCUMULATED, BATCH = 4, 2, 2, 4
WRAPPER = dict(
    optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.1),
    accumulative_counts=ACCUMULATED,
    clip_grad=dict(max_norm=0.05),
    paramwise_cfg=dict(custom_keys={'last': dict(lr_mult=0.5)}, bypass_duplicate=True),
)
OPTIONS = dict(offloaded=dict(offload=True), copies=dict(shard_size=1), full=dict(checkpoints='full'))


class Block(nn.Module):
    """A unit, whose weights two processes cannot divide evenly."""

    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, features):
        return features + self.linear(features).tanh()


@FUNCTIONS.register_module()
def is_block(module, recurse, nonwrapped_numel):
    return recurse or isinstance(module, Block)


class Model(BaseModel):
    """Two units, two that share a weight, a frozen one in another precision, and other layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.blocks = nn.ModuleList(Block(5) for _ in range(2))
        self.tied = nn.ModuleList(Block(5) for _ in range(2))
        self.tied[1].linear.weight = self.tied[0].linear.weight
        self.frozen = Block(3).requires_grad_(False).to(torch.float64)
        self.last = nn.Linear(5, 1)
        self.register_buffer('seen', torch.zeros(()))

    def forward(self, inputs, mode='tensor'):
        features = self.first(self.frozen(inputs.double()).float())
        for block in (*self.blocks, *self.tied):
            features = block(features)
        loss = self.last(features).square().mean()
        self.seen += loss.detach()
        return dict(loss=loss)


def build():
    torch.manual_seed(0)
    return Model().train()


def batches(start, end, rank, world_size):
    """The part of a process of each batch of these updates."""
    for step in range(start * ACCUMULATED, end * ACCUMULATED):
        images = torch.rand(BATCH, 3, generator=torch.Generator().manual_seed(step))
        yield dict(inputs=images.chunk(world_size)[rank])


def prepare(folder, **options):
    """A strategy with its model."""
    settings = dict(type='FullyShardedStrategy', auto_wrap_policy='is_block', work_dir=str(folder), **options)
    strategy = STRATEGIES.build(settings)
    strategy.prepare(
        build(), optim_wrapper=ConfigDict(deepcopy(WRAPPER)), dispatch_kwargs=dict(max_iters=UPDATES * ACCUMULATED)
    )
    return strategy


def train(model, wrapper, start, end, rank=0, world_size=1):
    return [model.train_step(batch, wrapper)['loss'].item() for batch in batches(start, end, rank, world_size)]


def save(strategy, path, updates):
    meta = dict(iter=updates * ACCUMULATED, epoch=0)
    strategy.save_checkpoint(str(path), extra_ckpt=dict(meta=meta, message_hub=dict(runtime_info={})))


def run(folder, rank, world_size, resume_from=None, evaluate=False, **options):
    """Train, save in the middle and at the end, and return the losses and the last norm of the gradients."""
    strategy = prepare(folder, **options)
    start = strategy.resume(str(resume_from))['meta']['iter'] // ACCUMULATED if resume_from else 0
    model, wrapper = strategy.model, strategy.optim_wrapper
    losses = []
    if not resume_from:
        losses += train(model, wrapper, 0, HALF, rank, world_size)
        save(strategy, folder / 'middle.pth', HALF)
    if evaluate:
        with torch.no_grad():
            model.eval()
            for _ in range(1 + 2 * rank):  # processes cannot wait for each other here
                model(torch.ones(2, 3))
            model.train()
    losses += train(model, wrapper, max(start, HALF), UPDATES, rank, world_size)
    save(strategy, folder / 'end.pth', UPDATES)
    norm = MessageHub.get_current_instance().get_scalar('train/grad_norm').current()
    parts = {
        name: isinstance(weight, DTensor) and weight.to_local().numel() for name, weight in model.named_parameters()
    }
    return dict(losses=losses, norm=norm, parts=parts)


def fail_in_one(rank):
    def fail():
        if rank == 1:
            raise OSError('disk full')

    try:
        call_together(fail)
    except (OSError, RuntimeError) as error:
        return f'{type(error).__name__}: {error}'


def meet_nan(folder, rank):
    """What the hook says after a batch of which one process's part is not finite."""
    strategy = prepare(folder)
    runner = SimpleNamespace(
        model=strategy.model,
        optim_wrapper=strategy.optim_wrapper,
        iter=0,
        epoch=0,
        max_epochs=1,
        logger=strategy.logger,
    )
    hook = CheckFiniteHook()
    hook.before_train(runner)
    for batch in batches(0, 1, rank, 2):
        hook.before_train_iter(runner, 0, batch)
        if rank == 1:
            batch['inputs'][:] = torch.nan
        try:
            strategy.model.train_step(batch, strategy.optim_wrapper)
            hook.after_train_iter(runner, 0, batch)
        except FloatingPointError as error:
            return str(error)


def refused_option(model):
    """What the wrapper says whose option works in one process only."""
    wrapper = LowMemoryOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), step_in_backward=True)
    try:
        wrapper.initialize_count_status(model, 0, 1)
    except ValueError as error:
        return str(error)


def measure(model, wrapper, rank):
    """What a process sends in an update."""
    with SentBytes() as sent:
        train(model, wrapper, 0, 1, rank, 2)
    return sent.by_kind()


def measure_all(folder, rank):
    strategy = prepare(folder)
    replica = MMDistributedDataParallel(build(), broadcast_buffers=False)
    wrapper = build_optim_wrapper(replica, ConfigDict(deepcopy(WRAPPER)))
    wrapper.initialize_count_status(replica, 0, UPDATES * ACCUMULATED)
    sharded = measure(strategy.model, strategy.optim_wrapper, rank)
    return dict(sharded=sharded, replicated=measure(replica, wrapper, rank), refused=refused_option(strategy.model))


def work(rank, world_size, folder, source, has_launcher):
    torch.set_num_threads(1)
    if has_launcher:
        distributed.init_process_group(
            'gloo', f'file://{folder}/rendezvous', timedelta(seconds=120), rank=rank, world_size=world_size
        )
    runs = dict(resumed=dict(resume_from=source)) if source else {}
    if not source or world_size == 2:
        runs['plain'] = dict(evaluate=True)
    if world_size == 2:
        runs |= OPTIONS
        runs['bfloat16'] = dict(dtype='bfloat16')
        runs['from_file'] = dict(resume_from=folder / 'full/middle.pth')
    found = {name: run(folder / name, rank, world_size, **options) for name, options in runs.items()}
    if world_size == 2:
        found['failed'], found['nan'] = fail_in_one(rank), meet_nan(folder / 'nan', rank)
        found['sent'] = measure_all(folder / 'sent', rank)
    torch.save(found, folder / f'{rank}.pth')
    with suppress(Exception):
        distributed.destroy_process_group()


def processes(number, folder, source=None, has_launcher=True):
    folder.mkdir()
    fork(work, number, number, folder, source, has_launcher)
    return [load_file(folder / f'{rank}.pth') for rank in range(number)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('runs')


@pytest.fixture(scope='module')
def found(folder):
    """By the number of processes: one, two, which also resume from the one, and one that resumes from the two."""
    one = processes(1, folder / 'one', has_launcher=False)
    two = processes(2, folder / 'two', folder / 'one/plain/middle.pth')
    merged = processes(1, folder / 'merged', folder / 'two/plain/middle.pth')
    return dict(one=one, two=two, merged=merged)


@pytest.fixture(scope='module')
def expected():
    """The model, its optimizer and the losses of plain training with whole batches."""
    model = build()
    wrapper = build_optim_wrapper(model, ConfigDict(deepcopy(WRAPPER)))
    wrapper.initialize_count_status(model, 0, UPDATES * ACCUMULATED)
    losses = train(model, wrapper, 0, UPDATES)
    norm = MessageHub.get_current_instance().get_scalar('train/grad_norm').current()
    return SimpleNamespace(model=model, wrapper=wrapper, losses=losses, norm=norm)


RUNS = [
    ('one', 'plain'),
    ('merged', 'resumed'),
    *(('two', name) for name in ('plain', 'resumed', 'from_file', *OPTIONS)),
]


@pytest.mark.parametrize(('group', 'name'), RUNS)
def test_losses_and_gradients_are_those_of_plain_training(group, name, found, expected):
    """Accumulated, clipped by the norm of all, after an evaluation, and resumed from another number of processes."""
    of_processes = [each[name] for each in found[group]]
    losses = torch.tensor([each['losses'] for each in of_processes]).mean(0)
    assert losses.tolist() == pytest.approx(expected.losses[-len(losses) :], rel=1e-5)
    assert len(losses) == ACCUMULATED * (UPDATES if name in ('plain', *OPTIONS) else UPDATES - HALF)
    assert all(each['norm'] == pytest.approx(expected.norm, rel=1e-5) for each in of_processes)


@pytest.mark.parametrize(('group', 'name'), RUNS)
def test_last_checkpoint_is_a_file_as_without_sharding(group, name, found, expected, folder):
    checkpoint = load_file(folder / group / name / 'end.pth')
    weights = expected.model.state_dict()
    assert set(checkpoint['state_dict']) == set(weights)
    for key, value in weights.items():
        if key != 'seen':  # each process has seen its own part
            torch.testing.assert_close(checkpoint['state_dict'][key], value, msg=key)
    state = expected.wrapper.state_dict()
    assert set(checkpoint['optimizer']) == set(state)
    assert [group['params'] for group in checkpoint['optimizer']['param_groups']] == [
        group['params'] for group in state['param_groups']
    ]
    assert set(checkpoint['optimizer']['state']) == set(state['state'])
    for number, values in state['state'].items():
        for key, value in values.items():
            torch.testing.assert_close(checkpoint['optimizer']['state'][number][key], value, msg=f'{number} {key}')


def test_plain_training_resumes_from_the_file(found, folder, expected):
    model = build()
    wrapper = build_optim_wrapper(model, ConfigDict(deepcopy(WRAPPER)))
    checkpoint = load_file(folder / 'two/full/middle.pth')
    model.load_state_dict(checkpoint['state_dict'])
    wrapper.load_state_dict(checkpoint['optimizer'])
    wrapper.initialize_count_status(model, HALF * ACCUMULATED, UPDATES * ACCUMULATED)
    assert train(model, wrapper, HALF, UPDATES) == pytest.approx(expected.losses[-2 * ACCUMULATED :], rel=1e-5)


def test_each_process_has_its_part(found, expected):
    parts = [each['plain']['parts'] for each in found['two']]
    for name, weight in expected.model.named_parameters():
        assert sum(part[name] for part in parts) == weight.numel()
        assert parts[0][name] < weight.numel() or len(weight) == 1
    assert [each['copies']['parts'] for each in found['two']] == [found['one'][0]['plain']['parts']] * 2


def test_folder_is_read_like_a_file(found, folder):
    """By all tools, in one process."""
    whole, file = (load_file(folder / 'two' / name / 'middle.pth') for name in ('plain', 'full'))
    assert (folder / 'two/plain/middle.pth').is_dir() and (folder / 'two/full/middle.pth').is_file()
    assert set(whole) == set(file) and whole['meta']['iter'] == file['meta']['iter'] == HALF * ACCUMULATED
    assert set(whole['state_dict']) == set(file['state_dict'])
    for name, value in file['state_dict'].items():
        assert torch.equal(whole['state_dict'][name], value), name
    assert whole['optimizer']['param_groups'] == file['optimizer']['param_groups']
    for number, values in file['optimizer']['state'].items():
        for key, value in values.items():
            assert torch.equal(whole['optimizer']['state'][number][key], value), key


def test_folder_becomes_a_file(found, folder, tmp_path, monkeypatch):
    """By the snippet in ``docs/scale.md``."""
    monkeypatch.chdir(tmp_path)
    Path('iter_8000.pth').symlink_to(folder / 'two/plain/middle.pth')
    run_snippet('run: file from shards')
    expected = load_file(folder / 'two/full/middle.pth')['state_dict']
    assert all(torch.equal(value, expected[name]) for name, value in load_file('vpd.pth')['state_dict'].items())


def test_damaged_folder(found, folder, tmp_path):
    source = folder / 'two/plain/middle.pth'
    assert find_fault(str(source)) is None
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    assert len(files) == 3 and STATE in files
    for name, content in files.items():
        for damage in ('missing', 'truncated'):
            broken = tmp_path / f'{name}-{damage}'
            broken.mkdir()
            for other, kept in files.items():
                if other != name:
                    (broken / other).write_bytes(kept)
                elif damage == 'truncated':
                    (broken / other).write_bytes(content[: len(content) // 2])
            assert find_fault(str(broken))


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_folder_is_executed(found, folder, tmp_path):
    """PyTorch's own reader would unpickle ``.metadata``."""
    copy, proof = tmp_path / 'copy.pth', tmp_path / 'proof'
    copy.mkdir()
    for path in (folder / 'two/plain/middle.pth').iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / '.metadata').write_bytes(pickle.dumps(Payload(proof)))
    load_file(copy)
    torch.save(dict(meta=Payload(proof)), copy / STATE)
    with pytest.raises(pickle.UnpicklingError, match=STATE):
        load_file(copy)
    assert not proof.exists()


def test_bfloat16_computes_in_it_and_keeps_float32(found, folder, expected):
    losses = torch.tensor([each['bfloat16']['losses'] for each in found['two']]).mean(0).tolist()
    assert losses == pytest.approx(expected.losses, rel=0.05) and losses != pytest.approx(expected.losses, rel=1e-4)
    weights = load_file(folder / 'two/bfloat16/end.pth')['state_dict']
    assert {value.dtype for name, value in weights.items() if not name.startswith('frozen')} == {torch.float32}


def test_failure_of_one_process_ends_the_others(found):
    first, second = (each['failed'] for each in found['two'])
    assert second == 'OSError: disk full'
    assert first.startswith('RuntimeError: process 1') and 'disk full' in first


def test_nan_in_one_process_is_reported_by_all(found):
    first, second = (each['nan'] for each in found['two'])
    assert first == second and 'Process 1: loss = nan' in first and 'Process 0' in first


def test_bytes_sent_are_those_predicted(found, expected):
    """Those of a step with fake tensors, in one of two processes that do not exist."""

    def build_wrapper(model):
        shard(model, mesh, is_block)
        return build_optim_wrapper(model, ConfigDict(deepcopy(WRAPPER)))

    with torch.device('meta'):
        model = Model()
    sent = SentBytes()
    with pretend_processes(2):
        mesh = device_mesh('cpu')
        counted = count_step(model, build_wrapper, lambda model: lambda: model(torch.empty(2, 3))['loss'], [sent])
    predicted = sent.by_kind()
    for each in found['two']:
        assert each['sent']['sharded'] == {
            kind: size if kind == 'all-reduce' else ACCUMULATED * size for kind, size in predicted.items()
        }
        # Half of the gradients twice, once for each update.
        trained = sum(weight.nbytes for weight in expected.model.parameters() if weight.requires_grad)
        assert each['sent']['replicated'] == {'all-reduce': trained}
    assert predicted['all-gather'] > predicted['reduce-scatter'] > 0
    parts = found['two'][0]['plain']['parts'], dict(expected.model.named_parameters())
    assert counted.weights == sum(number * parts[1][name].element_size() for name, number in parts[0].items()) + 4


def test_options_for_one_process(found):
    assert all('step_in_backward' in each['sent']['refused'] for each in found['two'])
    assert all('FSDPModel' in each['sent']['refused'] for each in found['two'])


def test_modules_that_share_a_weight_are_no_units():
    model = build()
    assert units_of(model, is_block) == [*model.blocks, model.frozen]


@pytest.mark.parametrize('hook', [EMAHook(), StoreLatentsHook()])
def test_hooks_that_need_the_whole_model(hook):
    with pytest.raises(ValueError, match=type(hook).__name__):
        FullyShardedStrategy.check_hooks(None, [hook])


def test_optimizers_that_cannot_be_sharded(tmp_path):
    strategy = STRATEGIES.build(dict(type='FullyShardedStrategy', work_dir=str(tmp_path)))
    model = build()
    with pytest.raises(ValueError, match='AdamW8bit'):
        strategy.build_optim_wrapper(ConfigDict(optimizer=dict(type='AdamW8bit', lr=0.1)), model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    assert strategy.build_optim_wrapper(wrapper, model) is wrapper


def test_config_in_the_page(tmp_path):
    cfg = Config.fromfile(write_config('config: fully sharded', tmp_path))
    assert cfg.runner_type == 'FlexibleRunner' and cfg.model.backbone.type == 'DiffusionUNet'
    assert type(STRATEGIES.build(cfg.strategy | dict(work_dir=str(tmp_path)))) is FullyShardedStrategy


def test_unknown_policy(tmp_path):
    with pytest.raises(ValueError, match='no_such_policy'):
        STRATEGIES.build(dict(type='FullyShardedStrategy', auto_wrap_policy='no_such_policy', work_dir=str(tmp_path)))
