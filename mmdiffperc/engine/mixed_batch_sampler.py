"""Batches from several data sets, drawn by weight."""

from collections.abc import Iterator
from itertools import islice

import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import BatchSampler, ConcatDataset, Sampler

from mmdiffperc.registry import DATA_SAMPLERS
from mmdiffperc.validation import Listed, PositiveFloat, PositiveInt, validated


@DATA_SAMPLERS.register_module()
@validated
class MixedBatchSampler(BatchSampler):
    """Draw each batch from one data set of a ``ConcatDataset``, chosen at random by weight.

    The images of a batch come from one data set, so each data set may have its own image size. The batches never end,
    so the training loop must be an ``IterBasedTrainLoop``. Each data set is shuffled, and shuffled again when all of
    its images have been drawn. For example::

        train_dataloader = dict(
            batch_size=2,
            dataset=dict(type='ConcatDataset', datasets=[hypersim, virtual_kitti]),
            sampler=dict(type='InfiniteSampler'),
            batch_sampler=dict(type='MixedBatchSampler', weights=[9, 1]),
        )

    The order depends only on the seed of the run, so a resumed run continues with the batches that an uninterrupted
    run would have seen. With several processes, the n-th batches of all processes come from the same data set, and
    consist of different images; the weights therefore hold for the whole batch. With gradient accumulation, each batch
    of an update is drawn separately, as in the code of Marigold and E2E-FT.

    Args:
        sampler (Sampler): The ``InfiniteSampler`` of the data loader, which mmengine passes. Its data set, seed, rank
            and ``shuffle`` are used.
        batch_size (int): Images in a batch of one process, which mmengine passes.
        weights (Sequence[float]): Relative frequency of each data set, such as ``[9, 1]``.

    Raises:
        ValueError: The numbers of weights and of data sets differ, or the data loader has another sampler.
    """

    def __init__(self, sampler: Sampler, batch_size: PositiveInt, weights: Listed[PositiveFloat]):
        super().__init__(sampler, batch_size, drop_last=True)
        if not isinstance(sampler, InfiniteSampler):
            raise ValueError(
                'MixedBatchSampler: expected sampler=dict(type="InfiniteSampler") in the data loader, because the '
                f'batches never end, got {type(sampler).__name__}'
            )
        dataset = sampler.dataset
        parts = dataset.datasets if isinstance(dataset, ConcatDataset) else [dataset]
        if len(parts) != len(weights):
            raise ValueError(
                f'MixedBatchSampler: weights={list(weights)} needs {len(weights)} data sets, but the data loader has '
                f'{len(parts)} ({type(dataset).__name__}): set dataset=dict(type="ConcatDataset", datasets=[...]), and '
                'a weight for each data set'
            )
        self.sizes = list(map(len, parts))
        self.weights = torch.tensor(weights, dtype=torch.double)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the indices of the images of each batch, without end."""
        generator = self._generator(0)
        streams = [self._indices_of_process(number) for number in range(len(self.sizes))]
        while True:
            number = int(torch.multinomial(self.weights, 1, generator=generator))
            yield list(islice(streams[number], self.batch_size))

    def _indices_of_process(self, number: int) -> Iterator[int]:
        return islice(self._indices(number), self.sampler.rank, None, self.sampler.world_size)

    def _indices(self, number: int) -> Iterator[int]:
        """Yield the indices of one data set, without end."""
        generator, size, offset = self._generator(number + 1), self.sizes[number], sum(self.sizes[:number])
        while True:
            order = torch.randperm(size, generator=generator) if self.sampler.shuffle else torch.arange(size)
            yield from (offset + order).tolist()

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.sampler.seed + stream)
