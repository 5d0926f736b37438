"""Convert NYU Depth v2 to the folders that mmseg's NYUDataset reads.

    python tools/dataset_converters/nyu.py --out data/nyu \\
        --labelled nyu_depth_v2_labeled.mat --splits splits.mat --sync sync --train-list train_list.txt

By default, both splits come from the labelled set (795 training images and 654 test images). --train-list and
--test-list select "sync" frames of BTS instead. The training list of BTS has 24,231 frames. As in the official code of
BTS and VPD, labelled depth is the raw depth truncated to millimetres, and the white border of labelled images becomes
black. "Sync" frames are hard links if the file system supports them, and copies otherwise.

The folder appears when it is complete. To continue after an interruption, run the same command again. Reading the .mat
files requires h5py and scipy.
"""

import re
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from resumable import add_lists, link_or_copy, require_files, write_folder

from mmdiffperc.files import relative_name
from mmdiffperc.generative.data.listed_targets import parse_split
from mmdiffperc.inference.writers import encode_png
from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

FRAME = (slice(7, 474), slice(7, 632))
MILLIMETRES = 1000
SPLIT_KEYS = {'train': 'trainNdxs', 'test': 'testNdxs'}
LABELLED_KEYS = ('images', 'rawDepths', 'sceneTypes')
SYNC_FILE = re.compile(r'([^/]+)/(?:rgb|sync_depth)_(\d+)\.\w+')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--out', required=True)
    parser.add_argument('--labelled', type=Path, metavar='MAT', help='nyu_depth_v2_labeled.mat')
    parser.add_argument('--splits', type=Path, metavar='MAT', help='splits.mat of the labelled set')
    parser.add_argument('--sync', type=Path, metavar='FOLDER', help='folder of the listed "sync" frames')
    add_lists(parser)
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if (args.labelled is None) != (args.splits is None):
        parser.error('expected --labelled and --splits together')
    if (args.sync is None) != (args.train_list is None and args.test_list is None):
        parser.error('expected --sync together with --train-list or --test-list')
    if args.labelled is None and args.sync is None:
        parser.error('nothing to convert: add --labelled or --sync')
    return args


class LabelledSet:
    """The labelled images of NYU Depth v2.

    Args:
        path (Path): ``nyu_depth_v2_labeled.mat``.
        splits (Path): ``splits.mat``, whose numbers begin at 1.

    Raises:
        ValueError: One of the files is damaged, or not the official file.
    """

    def __init__(self, path: Path, splits: Path):
        import h5py

        self.path = path
        if not h5py.is_hdf5(path):
            raise ValueError(f'{path}: expected nyu_depth_v2_labeled.mat, but the file is missing, damaged or not HDF5')
        self.file = h5py.File(path)
        self.splits = read_splits(splits)
        for name, content, keys in ((path, self.file, LABELLED_KEYS), (splits, self.splits, SPLIT_KEYS.values())):
            if absent := [key for key in keys if key not in content]:
                raise ValueError(f'{name}: expected the official file, but it has no {", ".join(absent)}')

    def files(self, phase: str) -> dict:
        """Return the files of a phase and the functions that write them, for ``write_folder``.

        Raises:
            ValueError: The name of a scene leads out of the folder.
        """
        files = {}
        for index in (self.splits[SPLIT_KEYS[phase]].ravel() - 1).tolist():
            name = relative_name(f'{phase}/{self._scene(index)}_{index:05d}', str(self.path))
            files[f'annotations/{name}.png'] = partial(self._write_depth, index)
            files[f'images/{name}.jpg'] = partial(self._write_image, index)
        return files

    def _scene(self, index):
        return ''.join(map(chr, self.file[self.file['sceneTypes'][0, index]][:].ravel()))

    def _write_image(self, index, path):
        image = np.zeros((480, 640, 3), np.uint8)
        # MATLAB is column-major, so all axes are in reverse order; OpenCV expects BGR.
        image[FRAME] = self.file['images'][index].T[FRAME][..., ::-1]
        path.write_bytes(cv2.imencode('.jpg', image)[1].tobytes())

    def _write_depth(self, index, path):
        depth = (self.file['rawDepths'][index].T * MILLIMETRES).astype(np.uint16)
        path.write_bytes(encode_png(depth))


def read_splits(path: Path) -> dict:
    """Read ``splits.mat``.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file cannot be read.
    """
    import scipy.io

    if not path.is_file():
        raise FileNotFoundError(f'{path}: expected splits.mat, but it does not exist or is not a file')
    try:
        return scipy.io.loadmat(path)
    except Exception as error:  # a reader can fail in any way on damaged bytes
        raise ValueError(f'{path}: expected splits.mat, but the file is damaged or not a MATLAB file') from error


def listed_files(root: Path, split_file: Path, phase: str) -> dict:
    """Return the files of listed "sync" frames and the functions that write them, for ``write_folder``.

    Raises:
        ValueError: A name does not belong to a "sync" frame, or an image and its depth map belong to different frames.
        FileNotFoundError: Files are missing.
    """
    files, sources = {}, []
    for image, depth, _ in parse_split(split_file.read_bytes(), str(split_file)):
        frames = [SYNC_FILE.search(path) for path in (image, depth)]
        if None in frames or frames[0].groups() != frames[1].groups():
            raise ValueError(
                f'{split_file}: expected <scene>/rgb_<n>.jpg <scene>/sync_depth_<n>.png, got {image} {depth}'
            )
        name = f'{phase}/{"_".join(frames[0].groups())}'
        sources += [root / image, root / depth]
        files[f'images/{name}.jpg'], files[f'annotations/{name}.png'] = (partial(link_or_copy, s) for s in sources[-2:])
    require_files(sources)
    return files


def convert(args) -> int:
    """Write the folder; return the number of new files."""
    files = {}
    labelled = args.labelled and LabelledSet(args.labelled, args.splits)
    for phase in SPLIT_KEYS:
        if split_file := getattr(args, f'{phase}_list'):
            files |= listed_files(args.sync, split_file, phase)
        elif labelled:
            files |= labelled.files(phase)
    return write_folder(args.out, files)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    number = convert(args)
    print(f'{args.out}: {f"complete, {number} new files" if number else "already there, complete"}.')


if __name__ == '__main__':
    sys.exit(main())
