"""Compare stored predictions with ground truth, as the official evaluation of DMP does.

    python projects/dmp/tools/evaluate_targets.py normals data/bedrooms/normals --metrics l1 angular normal_angle
    python projects/dmp/tools/evaluate_targets.py depth data/bedrooms/depth --abs --metrics rel delta
    python projects/dmp/tools/evaluate_targets.py depth data/bedrooms/depth --abs --norm --metrics rmse
    python projects/dmp/tools/evaluate_targets.py classes annotations --metrics miou --num-classes 150 --reduce-zero

PRED is a folder of PNG, npy or npz files. GROUND_TRUTH is another folder or an lmdb. Every prediction is compared with
the ground truth of the same name.

    l1 mse rmse   absolute, squared and root mean squared error
    rel delta     relative error |p - t| / t, and share of pixels with max(p / t, t / p) < 1.25
    angular       the official angular error: the angle between the colours of normals, in radians
    normal_angle  the angle between the normals that the colours encode, in degrees
    psnr ssim     similarity of images; PSNR in dB
    miou          mIoU, mAcc and aAcc of label maps, in per cent

Each metric except miou is the mean over the images. Integers are read as 8-bit colours and divided by 255; 16-bit
images are reduced to their upper 8 bits. With --abs, numbers are read as they are stored, and pixels without true depth
(0) are ignored unless --norm is given. If the ground truth has a different size, it is resized to the size of the
prediction by averaging areas.
"""

import sys
from argparse import ArgumentParser
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mmdiffperc.evaluation.masks import class_measures, confusion_matrix
from mmdiffperc.files import write_whole
from mmdiffperc.generative import DepthMapMetric, ImageErrorMetric, NormalMapMetric
from mmdiffperc.generative.data.target_files import SUFFIXES, decode_target, to_rgb, to_unit_range
from mmdiffperc.generative.data.target_stores import FolderTargets, find_keys, open_targets
from mmdiffperc.generative.data.target_transforms import to_channels_first
from mmdiffperc.inference.metadata import visible_files
from mmdiffperc.inference.writers import encode_json
from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, positive, tool_parser

ERRORS = 'l1', 'mse', 'rmse'
RATIOS = dict(rel='abs_rel', delta='d1')
ANGLES = dict(angular='angular', normal_angle='mean')
SIMILARITIES = 'psnr', 'ssim'
MIOU = 'miou'
METRICS = (*ERRORS, *RATIOS, *ANGLES, *SIMILARITIES, MIOU)
LEAST_DEPTH = 1e-12  # as in the official code


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    parser.add_argument('pred', metavar='PRED', type=Path, help='folder of predictions')
    parser.add_argument('ground_truth', metavar='GROUND_TRUTH', type=Path, help='folder or lmdb of ground truth')
    parser.add_argument(
        '--metrics', nargs='+', choices=METRICS, required=True, metavar='METRIC', help=', '.join(METRICS)
    )
    parser.add_argument(
        '--ext', choices=[suffix[1:] for suffix in SUFFIXES],
        help='type of the predictions (default: npz if there is one, otherwise npy, otherwise png)',
    )  # fmt: skip
    parser.add_argument('--abs', action='store_true', help='absolute values of one channel, such as depth in metres')
    parser.add_argument('--norm', action='store_true', help='stretch each map from its minimum to its maximum first')
    parser.add_argument('--num-classes', type=positive, metavar='N', help='number of classes (for miou)')
    parser.add_argument(
        '--ignore', type=bounded(int, 0), default=255, metavar='LABEL',
        help='true label that does not count (for miou; default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--reduce-zero', action='store_true', help='ignore the true label 0 and subtract 1 from the others (for miou)'
    )
    add_shared(parser, '--extra-key', 'in the ground truth; without this option, all forms are looked for')
    parser.add_argument('--per-image', action='store_true', help='also write the values of each image to --out-file')
    add_shared(parser, '--out-file', 'JSON')
    add_shared(parser, '--device')
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if MIOU in args.metrics and (len(args.metrics) > 1 or not args.num_classes or args.abs or args.norm):
        parser.error('--metrics miou: expected --num-classes with it, and neither other metrics nor --abs or --norm')
    if args.norm and (ratios := sorted({*args.metrics} & {*RATIOS})):
        parser.error(f'--norm cannot be combined with {", ".join(ratios)}, which would divide by 0')
    if args.abs and (others := sorted({*args.metrics} - {*ERRORS, *RATIOS})):
        parser.error(f'--abs cannot be combined with {", ".join(others)}, which compare colours')
    if args.per_image and not args.out_file:
        parser.error('--per-image: expected --out-file with it')
    return args


class MapComparison:
    """Compare colours or depth with the package's metrics.

    Args:
        args (Namespace): The options.
    """

    def __init__(self, args):
        self.absolute = args.abs
        measures = defaultdict(dict)
        for name in args.metrics:
            if name in ANGLES:
                measures[NormalMapMetric][name] = ANGLES[name]
            elif name in RATIOS or (args.abs and not args.norm):
                measures[DepthMapMetric][name] = RATIOS.get(name, name)
            else:
                measures[ImageErrorMetric][name] = name
        self.measures = list(measures.values())
        options = dict(normalise=args.norm, resize_truth=True)
        limits = {DepthMapMetric: dict(min_depth=LEAST_DEPTH)}
        self.metrics = [kind([*names.values()], **options, **limits.get(kind, {})) for kind, names in measures.items()]

    def read(self, content: bytes, name: str) -> torch.Tensor:
        """Read a map ``(C, H, W)``."""
        array = decode_target(content, name)
        if self.absolute:
            if array.shape[2:] not in ((), (1,)):
                raise ValueError(f'{name}: --abs expects one channel, got {array.shape} (height, width, channels)')
            return to_channels_first(array.astype(np.float32))
        if array.dtype == np.uint16:
            array = (array >> 8).astype(np.uint8)
        return to_channels_first(to_unit_range(to_rgb(array) if array.dtype == np.uint8 else array, name))

    def add(self, pred: torch.Tensor, truth: torch.Tensor, name: str):
        """Compare two maps."""
        sample = dict(pred_target=dict(data=pred), gt_target=dict(data=truth), img_path=name)
        for metric in self.metrics:
            metric.process({}, [sample])

    def summary(self) -> dict[str, float]:
        """Return the means over the images."""
        return self._named([metric.compute_metrics(metric.results) for metric in self.metrics])

    def per_image(self) -> list[dict[str, float]]:
        """Return the values of each image."""
        results = zip(*(metric.results for metric in self.metrics), strict=True)
        return [self._named([result.measures for result in image]) for image in results]

    def _named(self, values):
        """Rename the measures; an image that does not count, or whose prediction is not finite, has none."""
        pairs = list(zip(self.measures, values, strict=True))
        return {name: found.get(key, np.nan) for names, found in pairs for name, key in names.items()}


class LabelComparison:
    """Compare label maps.

    Args:
        args (Namespace): The options.
    """

    def __init__(self, args):
        self.num_classes, self.ignore, self.reduce_zero = args.num_classes, args.ignore, args.reduce_zero
        self.confusions = []

    def read(self, content: bytes, name: str) -> torch.Tensor:
        """Read a label map ``(H, W)``."""
        array = decode_target(content, name)
        if array.ndim != 2 or array.dtype.kind not in 'iu':
            raise ValueError(
                f'{name}: expected a label map, integers of one channel, got {array.dtype} of {array.shape}; '
                'convert_colours.py converts colours to label maps'
            )
        return torch.from_numpy(array.astype(np.int64))

    def add(self, pred: torch.Tensor, truth: torch.Tensor, name: str):
        """Compare two maps."""
        if self.reduce_zero:
            is_ignored = (truth == 0) | (truth == self.ignore)
            truth = torch.where(is_ignored, self.ignore, truth - 1)
        self.confusions.append(confusion_matrix(pred, truth, self.num_classes, self.ignore, name))

    def summary(self) -> dict[str, float]:
        """Return the measures of all pixels."""
        return class_measures(sum(self.confusions), per_class=True)

    def per_image(self) -> list[dict[str, float]]:
        """Return the measures of each image."""
        return [class_measures(confusion) for confusion in self.confusions]


def evaluate(args) -> tuple[list[str], MapComparison | LabelComparison]:
    """Compare all predictions; return their names and the comparison."""
    suffixes = SUFFIXES if args.ext is None else (f'.{args.ext}',)
    preds, truths = FolderTargets(args.pred, suffixes), open_targets(args.ground_truth)
    names = sorted({file.with_suffix('.png').name for file in visible_files(args.pred, suffixes)})
    if not names:
        raise FileNotFoundError(f'{args.pred}: expected a folder with predictions ({", ".join(suffixes)})')
    keys = find_keys(truths, names, args.extra_key)
    comparison = (LabelComparison if MIOU in args.metrics else MapComparison)(args)
    for name, key in tqdm(zip(names, keys, strict=True), total=len(names), unit='map'):
        pred, truth = (
            comparison.read(*store.read(each)).to(args.device) for store, each in ((preds, name), (truths, key))
        )
        comparison.add(pred, truth, name)
    return names, comparison


def report(names: list[str], comparison: MapComparison | LabelComparison, per_image: bool) -> dict:
    """Return the content of the JSON file, in which null stands for NaN and infinity."""

    def plain(values):
        return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}

    found = dict(images=len(names), metrics=plain(comparison.summary()))
    if per_image:
        stems = (Path(name).stem for name in names)
        found['per_image'] = dict(zip(stems, map(plain, comparison.per_image()), strict=True))
    return found


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    names, comparison = evaluate(args)
    if args.out_file:
        write_whole(args.out_file, encode_json(report(names, comparison, args.per_image)))
    print(f'{args.pred}: {len(names)} predictions compared with {args.ground_truth}')
    for name, value in comparison.summary().items():
        if '.' not in name:  # IoU.0 and the like are for the file
            print(f'{name:<12}  {value:.6g}')


if __name__ == '__main__':
    sys.exit(main())
