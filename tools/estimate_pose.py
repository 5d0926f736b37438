"""Estimate the poses of the persons in your own image, with a trained top-down pose estimator.

    python tools/estimate_pose.py CONFIG CHECKPOINT IMAGE --out pose
    python tools/estimate_pose.py CONFIG CHECKPOINT IMAGE --box 40 10 80 120 --box 90 20 125 118
    python tools/estimate_pose.py CONFIG CHECKPOINT IMAGE --detector DET_CONFIG --detector-checkpoint DET_CHECKPOINT

Each person needs a box. Give the boxes, or a detector of mmdet; otherwise the whole image is the box of one person.

Two files, named after the image: NAME_pose.json with the names of the keypoints and, for each person, box, keypoints
(x, y in pixels) and their scores; and NAME_pose.png with the skeletons. If no keypoint reaches --threshold, there is
nothing to draw: the tool prints the highest score, and writes no picture.
"""

import argparse
import json
import pickle
import sys
from pathlib import Path

import torch

import mmdiffperc.compat  # noqa: F401  (comes before any host)

from mmpose.apis import MMPoseInferencer  # isort: skip

from mmdiffperc.command_line import bounded, config_file, device, one_line_errors
from mmdiffperc.files import write_whole
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.pose import estimate_pose

WHOLE_IMAGE = 'whole_image'  # what mmpose calls it when the image is the box


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config of a top-down pose estimator')
    parser.add_argument('checkpoint', help='its trained checkpoint')
    parser.add_argument('image', type=Path)
    parser.add_argument('--out', type=Path, default=Path('pose'), metavar='FOLDER', help='(default: %(default)s)')
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument(
        '--box',
        type=bounded(float),
        nargs=4,
        action='append',
        metavar=('X1', 'Y1', 'X2', 'Y2'),
        help='around a person, in pixels; may be given several times',
    )
    boxes.add_argument(
        '--detector', type=config_file, default=WHOLE_IMAGE, metavar='CONFIG', help="config of one of mmdet's detectors"
    )
    parser.add_argument('--detector-checkpoint', metavar='FILE', help='its checkpoint')
    parser.add_argument(
        '--person', type=bounded(int, 0), default=0, help="the detector's class of persons (default: %(default)s)"
    )
    parser.add_argument(
        '--threshold', type=bounded(float), default=0.3, help='least score of a drawn keypoint (default: %(default)s)'
    )
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args(arguments)
    if args.detector_checkpoint and args.detector == WHOLE_IMAGE:
        parser.error('--detector-checkpoint needs the config of the detector: add --detector CONFIG')
    return args


def build_inferencer(args) -> MMPoseInferencer:
    """Build mmpose's inferencer for the model and, if there is one, the detector."""
    return MMPoseInferencer(
        args.config,
        args.checkpoint,
        device=args.device,
        det_model=args.detector,
        det_weights=args.detector_checkpoint,
        det_cat_ids=args.person,
    )


@one_line_errors(ValueError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    inferencer = build_inferencer(args)
    people, picture = estimate_pose(inferencer, args.image, args.box, kpt_thr=args.threshold, draw_bbox=True)
    names = inferencer.inferencer.model.dataset_meta['keypoint_id2name']
    stem = args.out / f'{args.image.stem}_pose'
    content = dict(keypoint_names=[names[index] for index in sorted(names)], people=people)
    write_whole(f'{stem}.json', json.dumps(content, indent=2))
    print(f'{stem}.json: poses written: {len(people)}')
    highest = max(max(person['keypoint_scores']) for person in people)
    if highest < args.threshold:
        print(
            f'{args.image}: no keypoint reaches --threshold {args.threshold:g}, the highest score is {highest:.3f}. '
            'No picture is written; lower --threshold to see the skeletons.'
        )
        return
    write_whole(f'{stem}.png', encode_png(picture))


if __name__ == '__main__':
    sys.exit(main())
