"""Collect the files of a KITTI split from the raw data and the annotated depth, for KITTIDepthDataset.

    python tools/dataset_converters/kitti.py --raw raw_data --depth data_depth_annotated --out data/kitti \\
        --train-list eigen_train_files_with_gt.txt --test-list eigen_test_files_with_gt.txt

The folder --raw contains <date>/<drive>/image_02/data/*.png. The folder --depth contains
train/<drive>/proj_depth/groundtruth/image_02/*.png and val/..., as unpacked from the KITTI depth benchmark. You can
also merge train and val. Use the lists of BTS, VPD or MetaPrompts. The tool ignores folders before <date> and <drive>,
and skips frames without depth.

The tool writes images/<date>/..., annotations/<drive>/..., and train.txt and test.txt with the paths in these folders.
The files are hard links if the file system supports them, and copies otherwise. The folder appears when it is complete.
To continue after an interruption, run the same command again.
"""

import re
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path

from resumable import PHASES, add_lists, link_or_copy, require_files, write_folder

from mmdiffperc.files import relative_name
from mmdiffperc.generative.data.listed_targets import parse_split
from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

IMAGE = re.compile(r'\d{4}_\d\d_\d\d/.+')
DEPTH = re.compile(r'\d{4}_\d\d_\d\d_drive_\d{4}_sync/proj_depth/.+')
DEPTH_FOLDERS = ('', 'train', 'val')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--out', required=True)
    parser.add_argument('--raw', type=Path, required=True, metavar='FOLDER', help='folder of the raw data')
    parser.add_argument('--depth', type=Path, required=True, metavar='FOLDER', help='folder of the annotated depth')
    add_lists(parser)
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.train_list is None and args.test_list is None:
        parser.error('nothing to convert: add --train-list or --test-list')
    return args


def read_frames(split_file: Path) -> list[tuple[str, str]]:
    """Read a split file; return the image paths, starting at the date, and the depth paths, starting at the drive.

    Raises:
        ValueError: A path contains no date or drive, or leads out of the folder, or the file is not a split file.
    """
    frames = []
    for image, depth, _ in parse_split(split_file.read_bytes(), str(split_file)):
        found = IMAGE.search(image), DEPTH.search(depth)
        if None in found:
            raise ValueError(f'{split_file}: expected <date>/<drive>/... <drive>/proj_depth/..., got {image} {depth}')
        frames.append(tuple(relative_name(part[0], str(split_file)) for part in found))
    return frames


def find_depth(root: Path, name: str) -> Path:
    """Find a depth map in the training or validation folder of the benchmark, or in one folder for both."""
    paths = [root / folder / name for folder in DEPTH_FOLDERS]
    return next((path for path in paths if path.is_file()), paths[0])


def convert(args) -> int:
    """Write the folder; return the number of new files.

    Raises:
        ValueError: A split file is invalid.
        FileNotFoundError: Files are missing.
    """
    sources, lists = {}, {}
    for phase in PHASES:
        if split_file := getattr(args, f'{phase}_list'):
            frames = read_frames(split_file)
            sources |= {f'images/{image}': args.raw / image for image, _ in frames}
            sources |= {f'annotations/{depth}': find_depth(args.depth, depth) for _, depth in frames}
            lines = ''.join(f'{image} {depth}\n' for image, depth in frames)
            lists[f'{phase}.txt'] = partial(Path.write_text, data=lines)
    require_files(list(sources.values()))
    return write_folder(args.out, {name: partial(link_or_copy, path) for name, path in sources.items()} | lists)


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    number = convert(args)
    print(f'{args.out}: {f"complete, {number} new files" if number else "already there, complete"}.')


if __name__ == '__main__':
    sys.exit(main())
