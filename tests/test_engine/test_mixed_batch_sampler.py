"""Batches of two data sets of different sizes, in one process and in two, and in a run that is resumed."""

from collections import Counter
from itertools import islice

import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler, InfiniteSampler
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner

from mmdiffperc.engine import MixedBatchSampler

SIZES = 7, 4


class Images(BaseDataset):
    """Images of one size, each of which holds its number."""

    def __init__(self, first, number, size):
        self.first, self.number, self.size = first, number, size
        super().__init__()

    def load_data_list(self):
        return [dict(value=float(self.first + index)) for index in range(self.number)]

    def prepare_data(self, index):
        return torch.full((3, *self.size), self.get_data_info(index)['value'])


@pytest.fixture
def dataset():
    return ConcatDataset([Images(0, SIZES[0], (4, 6)), Images(100, SIZES[1], (2, 8))])


def draw(dataset, number, seed=3, rank=0, world_size=1, weights=(9, 1), batch_size=2):
    sampler = InfiniteSampler(dataset, seed=seed)
    sampler.rank, sampler.world_size = rank, world_size  # as mmengine finds them in a process of several
    return list(islice(MixedBatchSampler(sampler, batch_size, weights), number))


def source(batch):
    """Which data set the images of a batch are from."""
    (found,) = {int(index >= SIZES[0]) for index in batch}
    return found


def test_data_sets_are_drawn_by_weight(dataset):
    batches = draw(dataset, 4000)
    assert {len(batch) for batch in batches} == {2}
    assert Counter(map(source, batches))[0] / 4000 == pytest.approx(0.9, abs=0.02)


def test_every_image_is_drawn_before_one_is_drawn_again(dataset):
    batches = draw(dataset, 300, weights=(1, 1))
    for number, indices in enumerate((range(7), range(7, 11))):
        stream = [index for batch in batches if source(batch) == number for index in batch]
        passes = [stream[start : start + len(indices)] for start in range(0, 84, len(indices))]
        assert all(sorted(one) == list(indices) for one in passes)
        assert len(set(map(tuple, passes))) > 1  # shuffled each time


def test_order_depends_on_the_seed_alone(dataset):
    assert draw(dataset, 50) == draw(dataset, 50) != draw(dataset, 50, seed=4)
    sampler = MixedBatchSampler(InfiniteSampler(dataset, seed=3), 2, [9, 1])
    assert list(islice(sampler, 50)) == list(islice(sampler, 50)) == draw(dataset, 50)


def test_processes_draw_other_images_of_the_same_data_set(dataset):
    ranks = [draw(dataset, 70, rank=rank, world_size=2, weights=(1, 1)) for rank in range(2)]
    assert [source(batch) for batch in ranks[0]] == [source(batch) for batch in ranks[1]]
    # Together they draw what one process with twice the batch draws.
    whole = draw(dataset, 70, weights=(1, 1), batch_size=4)
    assert [sorted(one + other) for one, other in zip(*ranks, strict=True)] == [sorted(batch) for batch in whole]


def test_without_shuffling(dataset):
    sampler = MixedBatchSampler(InfiniteSampler(dataset, shuffle=False, seed=0), 3, [1, 1])
    batches = list(islice(sampler, 8))
    for number, first in enumerate((0, 7)):
        stream = [index for batch in batches if source(batch) == number for index in batch]
        assert len(stream) > 5 and stream == [first + index % SIZES[number] for index in range(len(stream))]


def test_a_sampler_with_an_end(dataset):
    with pytest.raises(ValueError, match='InfiniteSampler.*DefaultSampler'):
        MixedBatchSampler(DefaultSampler(dataset, seed=0), 2, [1, 1])


@pytest.mark.parametrize('wrong', ['three', 'no concatenation'])
def test_a_weight_for_each_data_set(dataset, wrong):
    weights, data = ([1, 1, 1], dataset) if wrong == 'three' else ([1, 1], Images(0, 5, (2, 2)))
    with pytest.raises(ValueError, match=rf'\[1, 1.*{len(weights)}.*\b{len(weights) - 1}\b.*{type(data).__name__}'):
        DATA_SAMPLERS.build(
            dict(type='MixedBatchSampler', weights=weights, sampler=InfiniteSampler(data, seed=0), batch_size=2)
        )


class Seen(BaseModel):
    """Remembers its batches."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches = []

    def forward(self, inputs, mode='loss'):
        self.batches.append((tuple(inputs.shape), inputs[:, 0, 0, 0].tolist()))
        return dict(loss=self.weight * inputs.mean())


class StopAt(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 7:
            raise InterruptedError


def collate(images):
    return dict(inputs=torch.stack(images))


def run(folder, dataset, *hooks, resume=False):
    """Train for 12 iterations; return the batches."""
    runner = Runner(
        model=Seen(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=2,
            dataset=dataset,
            sampler=dict(type='InfiniteSampler'),
            batch_sampler=dict(type='MixedBatchSampler', weights=[2, 1]),
            collate_fn=collate,
        ),
        train_cfg=dict(by_epoch=False, max_iters=12),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=5), logger=None),
        custom_hooks=[dict(type='RandomStateHook'), *hooks],
        resume=resume,
        experiment_name=f'mixed-{resume}-{len(hooks)}',
        log_level='ERROR',
        randomness=dict(seed=5),
    )
    try:
        runner.train()
    except InterruptedError:
        pass
    return runner.model.batches


def test_a_run_that_is_resumed(tmp_path, dataset):
    whole = run(tmp_path / 'whole', dataset)
    assert {shape for shape, _ in whole} == {(2, 3, 4, 6), (2, 3, 2, 8)} and len(whole) == 12
    assert run(tmp_path / 'stopped', dataset, StopAt()) == whole[:7]
    assert run(tmp_path / 'stopped', dataset, resume=True) == whole[5:]
