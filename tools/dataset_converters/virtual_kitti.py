"""Collect the frames of Virtual KITTI 2, and derive normals, for ListedTargetDataset and LoadPublishedTarget.

    python tools/dataset_converters/virtual_kitti.py --raw virtual_kitti_2 --out data/virtual_kitti

The folder --raw contains the archives as unpacked: vkitti_2.0.3_rgb/Scene01/fog/frames/rgb/Camera_0/rgb_00000.jpg and
vkitti_2.0.3_depth/Scene01/fog/frames/depth/Camera_0/depth_00000.png. By default, the tool takes the variations with
which E2E-FT trains: morning, fog, rain, sunset and overcast, of all scenes and both cameras.

Virtual KITTI 2 has no normals. The tool derives them from depth with D2NT (Feng et al., ICRA 2023), as E2E-FT does.
They are 16-bit PNG, (n + 1) / 2 with x right, y up and z towards the viewer, and black where they are unknown, such as
in the sky.

The tool writes <scene>/<variation>/<camera>/rgb_00000.jpg, depth_00000.png and normal_00000.png, and the lists
depth.txt and normals.txt. Images and depth are hard links if the file system supports them, and copies otherwise. The
folder appears when it is complete. To continue after an interruption, run the same command again.
"""

import sys
from argparse import ArgumentParser
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

from resumable import link_or_copy, require_files, write_folder

from mmdiffperc.generative.data.published_targets import encode_normals, virtual_kitti_normals
from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

SCENES = ('Scene01', 'Scene02', 'Scene06', 'Scene18', 'Scene20')
VARIATIONS = (
    '15-deg-left',
    '15-deg-right',
    '30-deg-left',
    '30-deg-right',
    'clone',
    'fog',
    'morning',
    'overcast',
    'rain',
    'sunset',
)
TRAINED_ON = ('morning', 'fog', 'rain', 'sunset', 'overcast')
IMAGES = 'vkitti_2.0.3_rgb/{scene}/{variation}/frames/rgb'
DEPTH = 'vkitti_2.0.3_depth/{scene}/{variation}/frames/depth'
LISTS = {'depth.txt': 'depth', 'normals.txt': 'normal'}


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--out', required=True)
    parser.add_argument('--raw', type=Path, required=True, metavar='FOLDER', help='folder of the raw data')
    parser.add_argument('--scenes', nargs='+', choices=SCENES, default=list(SCENES), help='scenes to convert')
    parser.add_argument(
        '--variations', nargs='+', choices=VARIATIONS, default=list(TRAINED_ON), help='weather and viewing directions'
    )
    return parser


class Frame(NamedTuple):
    """One frame of Virtual KITTI 2.

    Args:
        folder (str): ``<scene>/<variation>/<camera>``.
        number (str): Such as ``'00000'``.
        image (Path): The image.
        depth (Path): Its depth.
    """

    folder: str
    number: str
    image: Path
    depth: Path

    def name(self, kind: str) -> str:
        """Return the name of the ``rgb``, ``depth`` or ``normal`` in the new folder."""
        return f'{self.folder}/{kind}_{self.number}.{"jpg" if kind == "rgb" else "png"}'


def find_frames(raw: Path, scene: str, variation: str) -> list[Frame]:
    """Find the frames of a scene.

    Raises:
        FileNotFoundError: There are no images.
    """
    images, depth = (raw / folder.format(scene=scene, variation=variation) for folder in (IMAGES, DEPTH))
    frames = []
    for image in sorted(images.glob('Camera_*/rgb_*.jpg')):
        camera, number = image.parent.name, image.stem.removeprefix('rgb_')
        frames.append(Frame(f'{scene}/{variation}/{camera}', number, image, depth / camera / f'depth_{number}.png'))
    if not frames:
        raise FileNotFoundError(
            f'{images}: expected Camera_0/rgb_00000.jpg and so on. Check --raw, or select what you have with --scenes '
            'and --variations'
        )
    return frames


def write_normals(depth: Path, path: Path):
    """Derive and write the normals of a depth map."""
    normals = virtual_kitti_normals(depth.read_bytes(), str(depth))
    path.write_bytes(encode_normals(normals))


def convert(args) -> int:
    """Write the folder; return the number of new files.

    Raises:
        ValueError: A depth map is damaged.
        FileNotFoundError: Files are missing.
    """
    places = product(args.scenes, args.variations)
    frames = [frame for scene, variation in places for frame in find_frames(args.raw, scene, variation)]
    require_files([frame.depth for frame in frames])
    files = {frame.name('rgb'): partial(link_or_copy, frame.image) for frame in frames}
    files |= {frame.name('depth'): partial(link_or_copy, frame.depth) for frame in frames}
    files |= {frame.name('normal'): partial(write_normals, frame.depth) for frame in frames}
    for name, kind in LISTS.items():
        lines = ''.join(f'{frame.name("rgb")} {frame.name(kind)}\n' for frame in frames)
        files[name] = partial(Path.write_text, data=lines)
    return write_folder(args.out, files)


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    number = convert(args)
    print(f'{args.out}: {f"complete, {number} new files" if number else "already there, complete"}.')


if __name__ == '__main__':
    sys.exit(main())
