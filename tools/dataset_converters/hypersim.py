"""Convert Hypersim to images, planar depth and normals, for ListedTargetDataset and LoadPublishedTarget.

    python tools/dataset_converters/hypersim.py --raw hypersim --out data/hypersim \\
        --split-csv metadata_images_split_scene_v1.csv --partitions train val

The folder --raw contains the scenes as Hypersim's own script downloads them: ai_001_001/images/scene_cam_00_final_hdf5
and so on. The tool reads frame.*.color.hdf5, depth_meters.hdf5, normal_cam.hdf5 and render_entity_id.hdf5 of the frames
in the public release.

- Images are tone-mapped as in Hypersim's scene_generate_images_tonemap.py: (s c) ^ (1 / 2.2), clipped at 1. The scale s
  lifts the 90 % quantile of the brightness 0.3 R + 0.59 G + 0.11 B to 0.8. Pixels without a surface do not count.
- Depth is 16-bit PNG in millimetres. Hypersim stores the distance from the camera, which becomes planar depth by the
  focal length of 886.81 pixels. Depth beyond 65.5 m, and pixels without a surface, become 0.
- Normals are 16-bit PNG, (n + 1) / 2, and black where they are unknown. Normals that point away from the camera are
  turned.

The tool writes <partition>/<scene>/rgb_<camera>_fr<frame>.png and so on, the names of Marigold's preprocessing, and the
lists <partition>_depth.txt and <partition>_normals.txt. The folder appears when it is complete. To continue after an
interruption, run the same command again. Reading the files requires h5py.
"""

import csv
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from resumable import require_files, write_folder

from mmdiffperc.files import quoted, spread
from mmdiffperc.generative.data.normals_from_depth import fitting_axes
from mmdiffperc.generative.data.published_targets import (
    MILLIMETRE,
    encode_normals,
    hypersim_camera,
    hypersim_depth,
    hypersim_normals,
    read_hdf5,
    unit_normals,
)
from mmdiffperc.inference.writers import encode_png
from mmdiffperc_cli.options import add_shared, existing_file, one_line_errors, tool_parser

PARTITIONS = ('train', 'val', 'test')
COLUMNS = ('scene_name', 'camera_name', 'frame_id', 'included_in_public_release', 'split_partition_name')
BRIGHTNESS, QUANTILE, DESIRED, DARK = (0.3, 0.59, 0.11), 0.9, 0.8, 1e-4
GAMMA = 2.2
NO_SURFACE = -1  # in render_entity_id
NUM_CHECKED = 3  # frames whose normals are compared with the depth before the conversion begins


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--out', required=True)
    parser.add_argument('--raw', type=Path, required=True, metavar='FOLDER', help='folder of the raw data')
    parser.add_argument(
        '--split-csv', type=existing_file, required=True, metavar='CSV', help='metadata_images_split_scene_v1.csv'
    )
    parser.add_argument(
        '--partitions',
        nargs='+',
        choices=PARTITIONS,
        default=['train', 'val'],
        help='partitions to convert (default: train and val)',
    )
    parser.add_argument(
        '--scenes', nargs='+', metavar='NAME', help='scenes to convert (default: all of the partitions)'
    )
    return parser


class Frame(NamedTuple):
    """One frame of Hypersim, and the functions that convert it.

    Args:
        raw (Path): The folder of the scenes.
        partition (str): One of ``PARTITIONS``.
        scene (str): Such as ``'ai_001_001'``.
        camera (str): Such as ``'cam_00'``.
        number (int): Number of the frame.
    """

    raw: Path
    partition: str
    scene: str
    camera: str
    number: int

    def source(self, kind: str) -> Path:
        """Return the file of ``color``, ``depth_meters``, ``normal_cam`` or ``render_entity_id``."""
        folder = f'scene_{self.camera}_{"final" if kind == "color" else "geometry"}_hdf5'
        return self.raw / self.scene / 'images' / folder / f'frame.{self.number:04d}.{kind}.hdf5'

    @property
    def sources(self) -> list[Path]:
        """list[Path]: All files that are read."""
        return [self.source(kind) for kind in ('color', 'depth_meters', 'normal_cam', 'render_entity_id')]

    def name(self, kind: str) -> str:
        """Return the name of the converted ``rgb``, ``depth_plane`` or ``normal_cam``."""
        return f'{self.partition}/{self.scene}/{kind}_{self.camera}_fr{self.number:04d}.png'

    def write_image(self, path: Path):
        """Write the tone-mapped image."""
        colours = self._read('color').astype(np.float64)
        path.write_bytes(encode_png(np.round(255 * tone_map(colours, self._has_surface())).astype(np.uint8)))

    def write_depth(self, path: Path):
        """Write planar depth."""
        units = np.round(self.depth() / MILLIMETRE)
        path.write_bytes(encode_png(np.where(units <= np.iinfo(np.uint16).max, units, 0).astype(np.uint16)))

    def write_normals(self, path: Path):
        """Write the normals."""
        path.write_bytes(encode_normals(self.normals()))

    def depth(self) -> np.ndarray:
        """Return planar depth ``(H, W)`` in metres, 0 where it is unknown."""
        file = self.source('depth_meters')
        depth = hypersim_depth(file.read_bytes(), str(file))
        return np.where(self._has_surface() & np.isfinite(depth), depth, 0)

    def normals(self) -> np.ndarray:
        """Return unit normals ``(H, W, 3)``, zeros where they are unknown."""
        file = self.source('normal_cam')
        normals, _ = unit_normals(hypersim_normals(file.read_bytes(), str(file)))
        return np.where(self._has_surface()[..., None], normals, 0)

    def _has_surface(self):
        return self._read('render_entity_id') != NO_SURFACE

    def _read(self, kind):
        file = self.source(kind)
        return read_hdf5(file.read_bytes(), str(file))


def tone_map(colours: np.ndarray, has_surface: np.ndarray) -> np.ndarray:
    """Convert radiance to colours.

    Args:
        colours (np.ndarray): Radiance ``(H, W, 3)``.
        has_surface (np.ndarray): The pixels that determine the scale, boolean ``(H, W)``.

    Returns:
        np.ndarray: Colours ``(H, W, 3)`` in [0, 1].
    """
    scale = 1.0
    if has_surface.any():
        bright = np.quantile((colours @ BRIGHTNESS)[has_surface], QUANTILE)
        scale = DESIRED**GAMMA / bright if bright >= DARK else 0.0
    return (scale * colours).clip(0, 1) ** (1 / GAMMA)


def read_frames(args) -> list[Frame]:
    """Read the frames of the partitions and scenes to convert.

    Raises:
        ValueError: The file has other columns, or none of the frames.
    """
    with args.split_csv.open(newline='', encoding='utf-8-sig') as file:
        reader = csv.DictReader(file)
        if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
            raise ValueError(
                f'{args.split_csv}: expected metadata_images_split_scene_v1.csv, but it has no {", ".join(missing)}'
            )
        frames = [
            Frame(args.raw, row['split_partition_name'], row['scene_name'], row['camera_name'], int(row['frame_id']))
            for row in reader
            if row['included_in_public_release'] == 'True' and row['split_partition_name'] in args.partitions
        ]
    if args.scenes:
        unknown = set(args.scenes) - {frame.scene for frame in frames}
        if unknown:
            raise ValueError(f'{args.split_csv}: no frames of {quoted(sorted(unknown))} in {quoted(args.partitions)}')
        frames = [frame for frame in frames if frame.scene in args.scenes]
    if not frames:
        raise ValueError(f'{args.split_csv}: no frames of {quoted(args.partitions)}')
    return frames


def check_axes(frames: list[Frame]):
    """Check that the normals of a few frames agree with their depth.

    Raises:
        ValueError: They do not; the message names the frame.
    """
    for frame in spread(frames, NUM_CHECKED):
        depth, normals = frame.depth(), frame.normals()
        if (axes := fitting_axes(normals, depth, hypersim_camera(depth.shape))) != 'RUB':
            raise ValueError(
                f'{frame.source("normal_cam")}: expected x right, y up and z to the viewer (RUB), but the depth fits '
                f'normals with the axes {axes}; download the file again'
            )


def convert(args) -> int:
    """Write the folder; return the number of new files.

    Raises:
        ValueError: The list of frames is invalid, a file is damaged, or normals and depth contradict each other.
        FileNotFoundError: Files are missing.
    """
    frames = read_frames(args)
    files = [file for frame in frames for file in frame.sources]
    require_files(files, 'If you have only some scenes, name them with --scenes, or choose --partitions')
    check_axes(frames)
    files, lists = {}, {}
    for frame in frames:
        image, depth, normals = (frame.name(kind) for kind in ('rgb', 'depth_plane', 'normal_cam'))
        files |= {image: frame.write_image, depth: frame.write_depth, normals: frame.write_normals}
        for kind, target in (('depth', depth), ('normals', normals)):
            lists.setdefault(f'{frame.partition}_{kind}.txt', []).append(f'{image} {target}\n')
    return write_folder(
        args.out, files | {name: partial(Path.write_text, data=''.join(lines)) for name, lines in lists.items()}
    )


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    number = convert(args)
    print(f'{args.out}: {f"complete, {number} new files" if number else "already there, complete"}.')


if __name__ == '__main__':
    sys.exit(main())
