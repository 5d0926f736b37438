"""Test one model on several data sets in one run, each by its published protocol."""

from collections import Counter
from typing import Annotated, Literal

import numpy as np
import torch.nn.functional as F
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop, Runner, TestLoop
from torch.utils.data import DataLoader

from mmdiffperc.evaluation.alignment import ALIGNMENTS
from mmdiffperc.generative.data.kb_crop import KBCrop
from mmdiffperc.generative.data.target_transforms import to_channels_first
from mmdiffperc.generative.processing_size import processed_size
from mmdiffperc.registry import LOOPS, METRICS, TRANSFORMS
from mmdiffperc.validation import Expected, Listed, Text, validated

from .protocols import DEPTH_PROTOCOLS, PROTOCOLS
from .target_metrics import DepthMapMetric, Measures

DataLoaders = Annotated[Listed[DataLoader | dict], Expected('a list of data loaders, one for each data set')]
Evaluators = Annotated[
    Listed[Evaluator | dict | list],
    Expected('a list with the metric, or the list of metrics, of each data set'),
]
# Of the table: the measure, its heading in papers, and its factor.
COLUMNS = (
    ('abs_rel', 'AbsRel (%)', 100),
    ('d1', 'δ1 (%)', 100),
    ('pooled_mean', 'mean (°), all pixels', 1),
    ('pooled_11.25', '< 11.25° (%), all pixels', 100),
    ('mean', 'mean (°), of images', 1),
    ('11.25', '< 11.25° (%), of images', 100),
)


@TRANSFORMS.register_module()
@validated
class FollowProtocol:
    """Prepare a test image as the published protocol of its data set prescribes.

    Image and truth are cropped to the size of KITTI's benchmark, if the protocol is that of KITTI. Then the image alone
    is resized, bilinearly and anti-aliased, so that its longer side has the processing size of the protocol. Place this
    transform after the loaders of the image and the target.

    Required key: ``img``. Modified keys: ``img``, ``img_shape``; with a crop, ``ori_shape`` and the maps in
    ``seg_fields``, too.

    Args:
        protocol (str): One of ``PROTOCOLS``, such as ``'nyu_depth'`` or ``'ibims_normals'``.

    Raises:
        ValueError: When building: an unknown protocol. When transforming: an image is smaller than the crop.
    """

    def __init__(self, protocol: Literal[tuple(PROTOCOLS)]):
        self.protocol = PROTOCOLS[protocol]

    def __call__(self, results: dict) -> dict:
        """Crop the image and the truth, and resize the image."""
        if getattr(self.protocol, 'use_benchmark_crop', False):
            results = KBCrop()(results)
        if size := self.protocol.processing_size:
            results['img'] = _resize_longer_side(results['img'], size)
        results['img_shape'] = results['img'].shape[:2]
        return results


def _resize_longer_side(image: np.ndarray, length: int) -> np.ndarray:
    pixels = to_channels_first(image).float()[None]
    resized = F.interpolate(pixels, processed_size(image.shape[:2], length), mode='bilinear', antialias=True)[0]
    return resized.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


@METRICS.register_module()
@validated
class ZeroShotDepthMetric(DepthMapMetric):
    """:class:`.DepthMapMetric` with the range, the crop and the size for alignment of a published protocol.

    Args:
        protocol (str): One of ``DEPTH_PROTOCOLS``, such as ``'nyu_depth'``.
        align (str, optional): See :class:`.DepthMapMetric`; ``'least_squares_disparity'`` for a model of disparity, and
            None for a model of metric depth. Defaults to ``'least_squares'``, as published for models of relative
            depth.
        measures (Sequence[str], optional): See :class:`.DepthMapMetric`. Default: all.
        prefix (str, optional): Prefix of the names of the results. Default: the name of the protocol.
        **kwargs: Arguments of :class:`.TargetMetric`.

    Raises:
        ValueError: An unknown protocol; see :class:`.DepthMapMetric`.
    """

    def __init__(
        self,
        protocol: Literal[tuple(DEPTH_PROTOCOLS)],
        align: Literal[ALIGNMENTS] | None = 'least_squares',
        measures: Measures | None = None,
        prefix: Text | None = None,
        **kwargs,
    ):
        chosen = DEPTH_PROTOCOLS[protocol]
        super().__init__(
            measures,
            chosen.min_depth,
            chosen.max_depth,
            crop_type=chosen.crop_type,
            align=align,
            max_align_size=chosen.max_align_size,
            prefix=prefix or protocol,
            **kwargs,
        )


@LOOPS.register_module()
@validated
class ZeroShotTestLoop(BaseLoop):
    """Test a model on several data sets, one after the other, and log one table, as papers show it.

    In the config, ``test_dataloader`` is a list of data loaders and ``test_evaluator`` a list with the metric, or the
    list of metrics, of each::

        test_dataloader = [dict(dataset=nyu, ...), dict(dataset=kitti, ...)]
        test_evaluator = [
            dict(type='ZeroShotDepthMetric', protocol='nyu_depth'),
            dict(type='ZeroShotDepthMetric', protocol='kitti_depth'),
        ]
        test_cfg = dict(type='ZeroShotTestLoop')

    A row of the table is the prefix of the metrics of a data set; its columns are AbsRel and δ1 of depth, or the mean
    angle and the share of angles below 11.25 degrees of normals. The log and the results hold all measures.

    Args:
        runner (Runner): The runner.
        dataloader (list[DataLoader | dict]): The data loaders, or their configs.
        evaluator (list): The evaluator of each, or the config of its metrics.
        fp16 (bool): Predict with automatic mixed precision. Defaults to False.

    Raises:
        ValueError: ``dataloader`` and ``evaluator`` are not lists of the same length, or the metrics of several data
            sets have the same prefix.
    """

    def __init__(self, runner: Runner, dataloader: DataLoaders, evaluator: Evaluators, fp16: bool = False):
        if len(dataloader) != len(evaluator):
            raise ValueError(
                f'test_dataloader has {len(dataloader)} data loaders, but test_evaluator has {len(evaluator)} entries: '
                'expected one entry for each, which is a metric or a list of metrics'
            )
        self._loops = [TestLoop(runner, *pair, fp16) for pair in zip(dataloader, evaluator, strict=True)]
        self._check_prefixes()
        super().__init__(runner, self._loops[0].dataloader)

    def _check_prefixes(self):
        prefixes = Counter(
            prefix for loop in self._loops for prefix in {each.prefix for each in loop.evaluator.metrics}
        )
        if same := [prefix for prefix, count in prefixes.items() if count > 1]:
            raise ValueError(
                f'The metrics of several data sets have the prefix {same[0]!r}: give those of each data set another '
                'prefix, which names its row of the table'
            )

    def run(self) -> dict[str, float]:
        """Test on all data sets.

        Returns:
            dict[str, float]: The measures of all data sets.
        """
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        metrics = {}
        for loop in self._loops:
            self.dataloader = loop.dataloader  # which the logger asks for its length
            for index, batch in enumerate(loop.dataloader):
                loop.run_iter(index, batch)
            metrics |= loop.evaluator.evaluate(len(loop.dataloader.dataset))
        self.runner.logger.info(f'Zero-shot results:\n\n{paper_table(metrics)}\n')
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics


def paper_table(metrics: dict[str, float]) -> str:
    """Write the measures that papers compare as a table in Markdown, one row for each data set.

    Args:
        metrics (dict[str, float]): Measures by their name, after the prefix of their data set: ``nyu_depth/abs_rel``.
    """
    rows = {}
    for key, value in metrics.items():
        data_set, _, measure = key.rpartition('/')
        rows.setdefault(data_set, {})[measure] = value
    columns = [column for column in COLUMNS if any(column[0] in row for row in rows.values())]
    lines = [['data set', *(heading for _, heading, _ in columns)], ['---', *('---:' for _ in columns)]]
    for data_set, row in rows.items():
        lines.append([data_set, *(f'{row[name] * factor:.2f}' if name in row else '' for name, _, factor in columns)])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
