"""Trainings in which something becomes NaN or infinite."""

import re
from itertools import count
from math import inf, nan

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData
from torch import distributed, nn
from torch.utils.data import Dataset

from mmdiffperc.engine import CheckFiniteHook

names = count()


class Samples(Dataset):
    """Seven images of one size with a target each; some values may be replaced."""

    def __init__(self, images=None, targets=None):
        generator = torch.Generator().manual_seed(4)
        self.images = torch.rand(7, 1, 2, 3, generator=generator)
        self.targets = torch.rand(7, 1, 2, 3, generator=generator)
        for maps, values in ((self.images, images), (self.targets, targets)):
            for index, value in (values or {}).items():
                maps[index, 0, 1, 2] = value

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        sample = BaseDataElement(metainfo=dict(img_path=f'kitchen/{index}.png'))
        sample.gt_depth_map = PixelData(data=self.targets[index])
        return dict(inputs=self.images[index], data_samples=sample)


class Depth(BaseModel):
    """Two convolutions with batch norm in between, and a root that has no gradient at 0 if asked for."""

    def __init__(self, rooted=False):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, 1, 1)
        self.rooted = rooted

    def forward(self, inputs, data_samples, mode='loss'):
        features = self.norm(self.stem(torch.stack(inputs)))
        predicted = self.head(nn.functional.dropout(features, 0.2))
        truth = torch.stack([sample.gt_depth_map.data for sample in data_samples])
        losses = dict(loss_depth=(predicted - truth).square().mean(), accuracy=torch.tensor(nan))
        if self.rooted:
            losses['loss_root'] = (0 * self.head.weight).square().sum().sqrt()  # 0, with the gradient 0 / 0
        return losses


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(AmpOptimWrapper):
    """``AmpOptimWrapper`` without its demand for a GPU."""

    def __init__(self, loss_scale, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=loss_scale)
        self._scale_update_param, self.cast_dtype = None, torch.bfloat16


class KeepWeights(Hook):
    """The weights after each iteration."""

    def __init__(self):
        self.states = {}

    def before_train(self, runner):
        self._keep(runner, 0)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._keep(runner, runner.iter + 1)

    def _keep(self, runner, iteration):
        self.states[iteration] = {name: value.clone() for name, value in runner.model.state_dict().items()}


def make_runner(work_dir, samples=None, *hooks, model=None, batch_size=1, epochs=1, check=(), **optim_wrapper):
    torch.manual_seed(3)
    check = [] if check is None else [dict(type='CheckFiniteHook') | dict(check)]
    return Runner(
        model=model or Depth(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=samples or Samples(), batch_size=batch_size, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)) | optim_wrapper,
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)),
        custom_hooks=[*check, *hooks],
        randomness=dict(seed=5),
        experiment_name=f'finite-{next(names)}',
        log_level='ERROR',
    )


def message_of(runner) -> str:
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    return str(error.value)


def assert_equal(found, expected):
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_finite_training_is_left_alone(tmp_path):
    with_hook, without = (make_runner(tmp_path / str(check), check=check).train() for check in ((), None))
    assert_equal(with_hook.state_dict(), without.state_dict())


@pytest.mark.parametrize('value', [nan, inf, -inf])
def test_image_is_named_and_the_last_checkpoint_stays(value, tmp_path):
    kept = KeepWeights()
    runner = make_runner(tmp_path, Samples(images={5: value}), kept, batch_size=2)
    message = message_of(runner)
    for part in ('iteration 3', 'loss_depth = nan', "'kitchen/4.png', 'kitchen/5.png'", "inputs of 'kitchen/5.png'"):
        assert part in message
    assert 'stem (Conv2d)' in message and "inputs of 'kitchen/4.png'" not in message and 'epoch' not in message
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']
    for name, value in runner.model.named_parameters():
        assert torch.equal(value, kept.states[2][name]), name


def test_target_is_named(tmp_path):
    message = message_of(make_runner(tmp_path, Samples(targets={3: inf}), epochs=2))
    for part in ('iteration 4', 'epoch 1', 'loss_depth = inf', "gt_depth_map.data of 'kitchen/3.png'"):
        assert part in message
    assert 'Depth' in message and 'inputs of' not in message


def test_gradient_that_is_not_finite_though_the_loss_is(tmp_path):
    message = message_of(make_runner(tmp_path, model=Depth(rooted=True)))
    assert 'iteration 1' in message and re.search(r'\b1 of 6 .* head \(Conv2d\)', message)
    assert 'inputs of' not in message and 'gt_depth_map' not in message
    assert not list(tmp_path.glob('*.pth'))


def test_gradients_that_were_clipped_by_their_norm(tmp_path):
    message = message_of(make_runner(tmp_path, model=Depth(rooted=True), clip_grad=dict(max_norm=1)))
    assert '6 of 6' in message


def test_weight_that_was_not_finite_from_the_start_is_named(tmp_path):
    model = Depth()
    model.norm.weight.data[1] = inf
    message = message_of(make_runner(tmp_path, model=model))
    assert 'iteration 1' in message and re.search(r'norm \(BatchNorm2d\).* weight', message)


def test_skipped_update_leaves_weights_and_statistics(tmp_path):
    kept = KeepWeights()
    runner = make_runner(tmp_path, Samples(images={3: nan}), kept, check=dict(action='skip'))
    warnings = []
    runner.logger.warning = warnings.append
    runner.train()
    assert_equal(kept.states[4], kept.states[3])
    for iteration in (3, 7):
        assert not torch.equal(kept.states[iteration]['head.weight'], kept.states[iteration - 1]['head.weight'])
    assert all(value.isfinite().all() for value in kept.states[7].values())
    (warning,) = [warning for warning in warnings if 'CheckFiniteHook' in warning]
    assert 'iteration 4' in warning and "inputs of 'kitchen/3.png'" in warning


def test_too_many_skipped_updates_stop_the_training(tmp_path):
    samples = Samples(images={1: nan, 3: nan, 4: nan})
    message = message_of(make_runner(tmp_path, samples, check=dict(action='skip', patience=2)))
    assert 'iteration 5' in message and '2 times' in message and 'kitchen/4.png' in message


def test_accumulated_update_names_its_batch(tmp_path):
    """The third batch of seven, which is the first of the second update."""
    message = message_of(make_runner(tmp_path, Samples(images={2: nan}), accumulative_counts=2))
    assert 'iteration 3' in message and "inputs of 'kitchen/2.png'" in message


def test_accumulated_update_is_skipped_as_a_whole(tmp_path):
    kept = KeepWeights()
    samples = Samples(images={2: nan})
    make_runner(tmp_path, samples, kept, check=dict(action='skip'), accumulative_counts=2).train()
    changed = [
        not torch.equal(kept.states[number]['head.weight'], kept.states[number - 1]['head.weight'])
        for number in range(1, 8)
    ]
    assert changed == [False, True, False, False, False, True, True]


@pytest.mark.parametrize('fused', [False, True])
def test_steps_that_the_loss_scaler_skips_are_no_fault(fused, tmp_path):
    """Scaled by 1e38, the gradients of the first sample overflow; then the scale is halved."""
    kept, samples = KeepWeights(), Samples(targets={0: 100})
    amp = dict(type='CpuAmpOptimWrapper', loss_scale=1e38, optimizer=dict(type='AdamW', lr=1e-2, fused=fused))
    make_runner(tmp_path / 'run', samples, kept, **amp).train()
    first, second, third = (kept.states[number]['head.weight'] for number in (0, 1, 2))
    assert torch.equal(first, second) and not torch.equal(second, third)
    message = message_of(make_runner(tmp_path / 'impatient', samples, check=dict(patience=1), **amp))
    assert 'iteration 1' in message and '1 times' in message


def test_loss_that_is_not_finite_under_a_loss_scaler_is_warned_of(tmp_path):
    kept, warnings = KeepWeights(), []
    amp = dict(type='CpuAmpOptimWrapper', loss_scale=2.0)
    runner = make_runner(tmp_path, Samples(images={3: nan}), kept, **amp)
    runner.logger.warning = warnings.append
    runner.train()
    assert_equal(kept.states[4], kept.states[3])
    assert any("inputs of 'kitchen/3.png'" in warning for warning in warnings)


def test_data_parallel(tmp_path, monkeypatch):
    distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    try:
        wrapped = MMDistributedDataParallel(Depth())
        message = message_of(make_runner(tmp_path, Samples(images={3: nan}), model=wrapped))
    finally:
        distributed.destroy_process_group()
    assert "inputs of 'kitchen/3.png'" in message and 'stem (Conv2d)' in message


class Plain(BaseModel):
    """A linear layer; the loss is a multiple of what it predicts."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.factor = factor

    def forward(self, x, mode='loss'):
        return dict(loss=self.factor * self.linear(x).mean())


def make_plain_runner(work_dir, values, factor=1.0):
    """A runner whose batches are stacked, as ``default_collate`` makes them."""
    runner = make_runner(work_dir, [dict(x=value) for value in values], model=Plain(factor), batch_size=3)
    runner._train_dataloader['collate_fn'] = dict(type='default_collate')
    return runner


def test_stacked_batch_names_its_samples(tmp_path):
    values = torch.tensor([[1, 2], [nan, 3], [4, 5]])
    assert 'x of sample 1' in message_of(make_plain_runner(tmp_path, values))


def test_gradients_whose_norm_overflows(tmp_path):
    """AdamW's second moment would become infinite, and the weight would never move again."""
    message = message_of(make_plain_runner(tmp_path, torch.ones(3, 2), factor=3e38))
    assert 'norm overflows' in message


@pytest.mark.parametrize('options', [dict(action='ignore'), dict(patience=0)])
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=str(*options.values())):
        CheckFiniteHook(**options)
