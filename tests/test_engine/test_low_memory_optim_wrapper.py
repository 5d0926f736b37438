"""Options that save memory do not change what is trained; those that round do so fairly."""

import copy
from itertools import count

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import LinearLR, OptimWrapper, build_optim_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.optim import SGD, AdamW

from mmdiffperc.engine import LowMemoryOptimWrapper
from mmdiffperc.engine.low_memory_optim_wrapper import round_stochastically

names = count()
HALF = dict(dtype='bfloat16', bfloat16_weights=['unet'])
IN_BACKWARD, OFFLOADED = dict(step_in_backward=True), dict(offload='cpu')
ADAM_8BIT = dict(type='AdamW8bit', lr=1e-2, min_8bit_size=64)  # small tensors keep a state of 32 bits by default


class Model(BaseModel):
    """A part to store in half precision, one that is used twice, and one that is frozen."""

    def __init__(self):
        super().__init__()
        self.unet = nn.Sequential(nn.Linear(3, 40), nn.LayerNorm(40), nn.GELU(), nn.Linear(40, 3))
        self.head = nn.Linear(3, 4)
        self.frozen = nn.Linear(4, 2).requires_grad_(False)

    def forward(self, x, mode='loss'):
        output = self.frozen(self.head(self.unet(self.unet(x))))
        return dict(loss=output.square().mean()) if mode == 'loss' else [output]


def batch(number: int) -> torch.Tensor:
    return torch.linspace(-1, 2, 21).view(7, 3) * (number % 5 + 1)


def build(model: nn.Module, optimizer: dict | None = None, **options):
    """A wrapper whose weights are loaded after it is built, as in mmengine."""
    settings = dict(type='LowMemoryOptimWrapper', optimizer=optimizer or dict(type='AdamW', lr=1e-2)) | options
    wrapper = build_optim_wrapper(model, ConfigDict(settings))
    model.load_state_dict(trained_before())
    wrapper.initialize_count_status(model, 0, -1)
    return wrapper


def trained_before() -> dict:
    torch.manual_seed(2)
    return Model().state_dict()


def train(iterations: int = 6, **options) -> tuple[nn.Module, OptimWrapper]:
    model = Model()
    wrapper = build(model, **options)
    torch.manual_seed(1)
    for number in range(iterations):
        model.train_step(dict(x=batch(number)), wrapper)
    return model, wrapper


def assert_equal(model: nn.Module, expected: nn.Module):
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize('options', [{}, IN_BACKWARD, OFFLOADED])
def test_weights_equal_those_of_the_plain_wrapper(options):
    assert_equal(train(**options)[0], train(type='OptimWrapper')[0])
    assert not torch.equal(train(**options)[0].unet[0].weight, trained_before()['unet.0.weight'])


@pytest.mark.parametrize('options', [{}, OFFLOADED])
def test_accumulation_and_clipping_by_norm(options):
    accumulated = dict(accumulative_counts=3, clip_grad=dict(max_norm=0.1))
    expected, _ = train(7, type='OptimWrapper', **accumulated)
    assert_equal(train(7, **accumulated, **options)[0], expected)
    assert not torch.equal(expected.head.weight, train(7, accumulative_counts=3)[0].head.weight)


@pytest.mark.parametrize('options', [IN_BACKWARD, OFFLOADED])
def test_clipping_by_value(options):
    clipped = dict(clip_grad=dict(type='value', clip_value=1e-3), optimizer=dict(type='SGD', lr=1.0))
    expected, _ = train(type='OptimWrapper', **clipped)
    assert_equal(train(**clipped, **options)[0], expected)
    assert (expected.head.weight - trained_before()['head.weight']).abs().max() < 6.1e-3  # six steps


@pytest.mark.parametrize(('options', 'expected'), [(IN_BACKWARD, []), (OFFLOADED, []), ({}, ['head.bias'])])
def test_gradients_are_freed_during_the_backward_pass(options, expected):
    model = Model()
    build(model, **options).backward(model(batch(0))['loss'])
    held = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert [name for name in held if name == 'head.bias'] == expected
    assert bool(held) == bool(expected)


def test_offloaded_optimizer_holds_copies_of_the_loaded_weights():
    """mmengine builds the optimizer before it loads weights; a copy made then would undo the loading."""
    model = Model()
    wrapper = build(model, optimizer=dict(type='SGD', lr=0.0), **OFFLOADED)
    held = {id(parameter) for group in wrapper.param_groups for parameter in group['params']}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert not held & {id(parameter) for parameter in trained}
    model.train_step(dict(x=batch(0)), wrapper)  # writes the copies into the model
    for name, value in trained_before().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_offloaded_copies_are_not_rounded():
    model = Model()
    wrapper = build(model, optimizer=dict(type='SGD', lr=0.0), **HALF, **OFFLOADED)
    for _ in range(2):  # a second training, too, starts from the exact copies
        copies = {copy for group in wrapper.param_groups for copy in group['params'] if copy.shape == (40, 3)}
        assert [torch.equal(copy, trained_before()['unet.0.weight']) for copy in copies] == [True]
        assert torch.equal(model.unet[0].weight, trained_before()['unet.0.weight'].bfloat16())
        model.train_step(dict(x=batch(0)), wrapper)
        wrapper.initialize_count_status(model, 0, -1)


@pytest.mark.parametrize('options', [HALF, HALF | IN_BACKWARD, HALF | OFFLOADED])
def test_half_of_the_weights_in_bfloat16(options):
    model, wrapper = train(**options)
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert {name for name, dtype in types.items() if dtype == torch.bfloat16} == {n for n in types if 'unet' in n}
    states = [value for state in wrapper.optimizer.state.values() for value in state.values()]
    assert len(states) == 3 * 8  # two moments and the number of steps of each tensor
    assert {state.dtype for state in states} == {torch.float32}
    exact = train(dtype='bfloat16')[0].state_dict()
    for name, value in model.state_dict().items():
        assert torch.allclose(value.float(), exact[name], atol=0.02), name
    assert not torch.equal(model.unet[0].weight.float(), trained_before()['unet.0.weight'].bfloat16().float())


def test_small_updates_survive_the_rounding():
    """Of 8e-6, nearest rounding leaves nothing beside a weight of 1: the next number is 0.004 to 0.008 away."""
    model = nn.Sequential(nn.Linear(1, 4096, bias=False))
    nn.init.ones_(model[0].weight)
    plain = copy.deepcopy(model).bfloat16()
    wrapper = LowMemoryOptimWrapper(SGD(model.parameters(), lr=8e-6), dtype='bfloat16', bfloat16_weights=['0.'])
    wrapper.initialize_count_status(model, 0, -1)
    plain_optimizer = SGD(plain.parameters(), lr=8e-6)
    torch.manual_seed(4)
    for _ in range(100):
        wrapper.update_params(model[0].weight.sum())
        plain[0].weight.sum().backward()
        plain_optimizer.step()
        plain_optimizer.zero_grad()
    assert (plain[0].weight == 1).all()
    assert model[0].weight.float().mean().item() == pytest.approx(1 - 100 * 8e-6, abs=2e-4)
    assert set(model[0].weight.unique().tolist()) <= {1 - 2**-8 * each for each in range(4)}


def test_rounding_is_right_on_average_and_leaves_what_fits():
    values = torch.tensor([1 + 2**-9, -3 - 2**-8, 1.5, 0.0, float('inf')])
    target = torch.empty(20_000, 5, dtype=torch.bfloat16)
    torch.manual_seed(0)
    round_stochastically(values.expand(20_000, 5).contiguous(), target)
    assert target[:, 0].unique().tolist() == [1, 1 + 2**-7]
    assert target[:, 1].unique().tolist() == [-3 - 2**-6, -3]
    assert target.float().mean(0)[:2].tolist() == pytest.approx(values[:2].tolist(), abs=3e-4)
    assert torch.equal(target[:, 2:].float(), values[2:].expand(20_000, 3))


@pytest.mark.parametrize('options', [{}, IN_BACKWARD, HALF, HALF | IN_BACKWARD])
def test_state_of_8_bits_follows_the_schedule(options):
    model = Model()
    wrapper = build(model, optimizer=ADAM_8BIT, **options)
    schedule = LinearLR(wrapper, start_factor=0.1, begin=0, end=2, by_epoch=False)
    for rate in (1e-3, 1e-2):
        before = model.head.weight.clone()
        model.train_step(dict(x=batch(0)), wrapper)
        schedule.step()
        assert (model.head.weight - before).abs().max().item() == pytest.approx(rate, rel=0.1)
    types = [state['state1'].dtype for state in wrapper.optimizer.state.values()]
    assert types.count(torch.uint8) == 2  # the matrices of the U-Net have 120 weights each


class Stop(Hook):
    """The power fails."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 5:
            raise InterruptedError


def run(work_dir, *hooks, resume=False, **options):
    """Train for eight iterations with a checkpoint every fourth; the runner."""
    torch.manual_seed(3)
    runner = Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(x=batch(number)[number % 7]) for number in range(11)],
            batch_size=2,
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='default_collate'),
        ),
        val_dataloader=dict(
            dataset=[dict(x=batch(0)[0])],
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        val_cfg=dict(),
        val_evaluator=[],
        train_cfg=dict(by_epoch=False, max_iters=8, val_interval=2),
        optim_wrapper=dict(type='LowMemoryOptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)) | options,
        param_scheduler=dict(type='LinearLR', start_factor=0.1, begin=0, end=8, by_epoch=False),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4), logger=None),
        custom_hooks=[dict(type='RandomStateHook'), dict(type='CheckFiniteHook'), *hooks],
        resume=resume,
        experiment_name=f'memory-{next(names)}',
        log_level='ERROR',
        randomness=dict(seed=5),
    )
    runner.train()
    return runner


@pytest.mark.parametrize(
    'options',
    [
        {},
        IN_BACKWARD,
        OFFLOADED,
        HALF,
        HALF | IN_BACKWARD,
        HALF | OFFLOADED,
        dict(optimizer=ADAM_8BIT),
        HALF | dict(optimizer=ADAM_8BIT),
        HALF | dict(accumulative_counts=2, clip_grad=dict(max_norm=0.3)),
    ],
)
def test_resumed_run_equals_the_undisturbed_one(options, tmp_path):
    expected = run(tmp_path / 'undisturbed', **options).model
    with pytest.raises(InterruptedError):
        run(tmp_path / 'stopped', Stop(), **options)
    assert_equal(run(tmp_path / 'stopped', resume=True, **options).model, expected)


@pytest.mark.parametrize('options', [IN_BACKWARD, OFFLOADED])
def test_averaged_weights(options, tmp_path):
    average = dict(type='EMAHook', momentum=0.3)
    expected = run(tmp_path / 'plain', average, type='OptimWrapper').model
    assert_equal(run(tmp_path / 'ours', average, **options).model, expected)


class Averages(Hook):
    """Averages by hand, in single precision, and looks at what a validation uses."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        values = {name: value.float().clone() for name, value in runner.model.named_parameters()}
        if runner.iter == 0:  # the average starts at the weights of the first update
            self.expected = values
        for name, value in values.items():
            self.expected[name] = self.expected[name].lerp(value, 0.01)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.validated = {name: value.clone() for name, value in runner.model.named_parameters()}


def test_bfloat16_weights_are_averaged_in_float32(tmp_path):
    averages = Averages()
    runner = run(tmp_path, dict(type='Float32EMAHook', momentum=0.01), averages, **HALF)
    saved = torch.load(tmp_path / 'iter_8.pth', weights_only=False)
    for name, expected in averages.expected.items():
        torch.testing.assert_close(averages.validated[name], expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(saved['state_dict'][name], expected, rtol=0, atol=1e-6)
        assert torch.equal(saved['ema_state_dict'][f'module.{name}'].float(), runner.model.get_parameter(name).float())
    assert runner.model.unet[0].weight.dtype == torch.bfloat16
    assert not torch.equal(averages.expected['unet.0.weight'], averages.expected['unet.0.weight'].bfloat16().float())


def test_resumed_average(tmp_path):
    average = dict(type='Float32EMAHook', momentum=0.01)
    run(tmp_path / 'undisturbed', average, **HALF)
    with pytest.raises(InterruptedError):
        run(tmp_path / 'stopped', average, Stop(), **HALF)
    run(tmp_path / 'stopped', average, resume=True, **HALF)
    states = [torch.load(tmp_path / name / 'iter_8.pth', weights_only=False) for name in ('undisturbed', 'stopped')]
    for key in ('state_dict', 'ema_state_dict'):
        for name, value in states[0][key].items():
            assert torch.equal(value, states[1][key][name]), name


class Updates(Hook):
    """Counts the calls of the hook that runs before each update."""

    def before_train(self, runner):
        self.calls = []
        runner.optim_wrapper.register_step_pre_hook(lambda *args: self.calls.append(runner.iter))


@pytest.mark.parametrize('options', [{}, IN_BACKWARD, OFFLOADED, HALF])
def test_hooks_run_once_for_each_update(options, tmp_path):
    updates = Updates()
    run(tmp_path, updates, **options)
    assert updates.calls == list(range(8))


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(bfloat16_weights=['unet']), ['bfloat16_weights', "dtype='bfloat16'"]),
        (IN_BACKWARD | OFFLOADED, ['step_in_backward', 'offload']),
        (IN_BACKWARD | dict(accumulative_counts=4), ['step_in_backward', 'accumulative_counts=4']),
        (IN_BACKWARD | dict(clip_grad=dict(max_norm=1.0)), ['step_in_backward', 'max_norm', "type='value'"]),
        (dict(offload='gpu'), ['offload', "'gpu'"]),
    ],
)
def test_options_that_exclude_each_other(options, expected):
    optimizer = AdamW([nn.Parameter(torch.zeros(2))])
    with pytest.raises(ValueError) as error:
        LowMemoryOptimWrapper(optimizer, **options)
    assert all(part in str(error.value) for part in expected)


def test_name_that_no_parameter_has():
    with pytest.raises(ValueError, match='decoder.*frozen.*head.*unet'):
        build(Model(), dtype='bfloat16', bfloat16_weights=['unet', 'decoder'])


@pytest.mark.parametrize(
    ('options', 'name'), [(HALF, 'bfloat16_weights'), (IN_BACKWARD, 'step_in_backward'), (OFFLOADED, 'offload')]
)
def test_shared_gradients(options, name):
    model = Model()
    wrapper = build_optim_wrapper(
        model, ConfigDict(type='LowMemoryOptimWrapper', optimizer=dict(type='AdamW', lr=1e-2), **options)
    )
    with pytest.raises(ValueError, match=f'{name}.*DataParallel'):
        wrapper.initialize_count_status(nn.DataParallel(model), 0, -1)


def test_skipped_updates_need_all_gradients(tmp_path):
    with pytest.raises(ValueError, match="CheckFiniteHook: action='skip'.*step_in_backward"):
        run(tmp_path, dict(type='CheckFiniteHook', action='skip'), **IN_BACKWARD)
