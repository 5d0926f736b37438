"""The target files of published data sets: depth in metres, and normals in the axes of this package."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np

from mmdiffperc.generative.normal_axes import to_inside
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import validated

from .normals_from_depth import Intrinsics, face_camera, normals_from_depth, planar_depth
from .target_files import MOST_BYTES, decode_target, to_signed_range
from .target_transforms import Range, check_size, mask_of

HDF5 = b'\x89HDF\r\n\x1a\n'  # how such files begin
DPT = b'PIEH'
MILLIMETRE, CENTIMETRE, KITTI_UNIT = 1e-3, 1e-2, 1 / 256
# Focal lengths in units of the width: Hypersim's images have 1024 x 768 pixels, those of Virtual KITTI 2 1242 x 375.
HYPERSIM_FOCAL = 886.81 / 1024
VIRTUAL_KITTI_FOCAL = 725.0087 / 1242
VIRTUAL_KITTI_SKY = 65535
SHORTEST = 0.5  # length of a vector that is a normal

Size = tuple[int, int]


def integer_depth(content: bytes, name: str, size: Size | None = None, *, unit: float) -> np.ndarray:
    """Read depth from a 16-bit image whose numbers have a unit in metres."""
    depth = decode_target(content, name)
    _expect(
        depth.dtype == np.uint16 and depth.ndim == 2, f'16-bit depth (height, width), got {_described(depth)}', name
    )
    return depth * unit


def array_depth(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Read depth in metres from an npy or npz with one channel."""
    depth = decode_target(content, name)
    is_map = depth.dtype.kind == 'f' and depth.shape[2:] in ((), (1,))
    _expect(is_map, f'depth in metres as floating-point numbers (height, width), got {_described(depth)}', name)
    return depth.reshape(depth.shape[:2])


def raw_depth(content: bytes, name: str, size: Size) -> np.ndarray:
    """Read 32-bit numbers in the order of the rows; the file does not hold its size, which is the size of the image."""
    expected = 4 * size[0] * size[1]
    _expect(len(content) == expected, f'{expected} bytes for a map of {size}, got {len(content)}', name)
    return np.frombuffer(content, '<f4').reshape(size)


def sintel_depth(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Read a dpt: its tag, the width, the height, and 32-bit numbers in the order of the rows."""
    _expect(content[:4] == DPT and len(content) >= 12, f'a dpt file, which begins with {DPT}, got {content[:8]}', name)
    width, height = struct.unpack('<2i', content[4:12])
    return raw_depth(content[12:], name, (height, width))


def hypersim_depth(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Read the distance from the camera in HDF5, which becomes planar depth, or planar depth in millimetres."""
    if not content.startswith(HDF5):
        return integer_depth(content, name, unit=MILLIMETRE)
    distance = read_hdf5(content, name)
    _expect(distance.ndim == 2, f'distances (height, width), got {_described(distance)}', name)
    return planar_depth(distance.astype(np.float64), hypersim_camera(distance.shape))


def hypersim_normals(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Read normals in HDF5, and turn those that point away from the camera; or converted normals."""
    if not content.startswith(HDF5):
        return stored_normals(content, name)
    normals = read_hdf5(content, name)
    _expect(normals.shape[2:] == (3,), f'normals (height, width, 3), got {_described(normals)}', name)
    return face_camera(normals.astype(np.float64), hypersim_camera(normals.shape[:2]))


def hypersim_camera(size: Size) -> Intrinsics:
    """Return the camera of Hypersim's images at a size (height, width)."""
    return Intrinsics.centred(HYPERSIM_FOCAL * size[1], *size)


def virtual_kitti_depth(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Read depth in centimetres; the sky is unknown."""
    depth = integer_depth(content, name, unit=CENTIMETRE)
    return np.where(depth >= VIRTUAL_KITTI_SKY * CENTIMETRE, np.nan, depth)


def virtual_kitti_normals(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Derive normals from depth, or read derived ones."""
    if decode_target(content, name).ndim == 3:
        return stored_normals(content, name)
    depth = virtual_kitti_depth(content, name)
    return normals_from_depth(depth, Intrinsics.centred(VIRTUAL_KITTI_FOCAL * depth.shape[1], *depth.shape))


def stored_normals(content: bytes, name: str, size: Size | None = None, *, axes: str = 'RUB') -> np.ndarray:
    """Read normals as numbers in [-1, 1], or as ``(n + 1) / 2`` in an image; zeros and black mean unknown.

    ``axes`` are the axes of the file, see :mod:`mmdiffperc.generative.normal_axes`.
    """
    stored = decode_target(content, name)
    _expect(stored.shape[2:] == (3,), f'normals (height, width, 3), got {_described(stored)}', name)
    return np.where(stored.any(-1, keepdims=True), to_signed_range(stored, name) @ to_inside(axes).T, 0)


def encode_normals(normals: np.ndarray) -> bytes:
    """Encode unit normals ``(H, W, 3)``, zeros where they are unknown, as a 16-bit PNG for :func:`stored_normals`."""
    known = normals.any(-1, keepdims=True)
    return encode_png(np.where(known, np.round((normals + 1) / 2 * 65535), 0).astype(np.uint16))


def unit_normals(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide normals by their lengths.

    Args:
        normals (np.ndarray): ``(H, W, 3)`` of any length; zeros or NaN where they are unknown.

    Returns:
        tuple[np.ndarray, np.ndarray]: Unit normals ``(H, W, 3)``, zeros where they are unknown, and which are known,
        boolean ``(H, W)``.
    """
    length = np.linalg.norm(normals.astype(np.float64), axis=-1)
    known = (length > SHORTEST) & np.isfinite(length)
    return np.where(known[..., None], normals, 0) / np.where(known, length, 1)[..., None], known


def ibims_depth(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Read depth in metres from a mat; pixels outside of the masks, and transparent ones, are unknown."""
    scipy_io = import_reader('scipy.io', 'iBims-1')
    with damage_named(name, 'a mat file of iBims-1, with data.depth, data.mask_invalid and data.mask_transp'):
        data = scipy_io.loadmat(io.BytesIO(content), simplify_cells=True)['data']
        return np.where(data['mask_invalid'] * data['mask_transp'] > 0, data['depth'], np.nan)


def sun_depth(content: bytes, name: str, size: Size | None = None) -> np.ndarray:
    """Read depth in millimetres, whose 16 bits SUN RGB-D rotates by three."""
    depth = decode_target(content, name)
    _expect(
        depth.dtype == np.uint16 and depth.ndim == 2, f'16-bit depth (height, width), got {_described(depth)}', name
    )
    return ((depth >> 3) | (depth << 13)) * MILLIMETRE


def read_hdf5(content: bytes, name: str) -> np.ndarray:
    """Read the array ``dataset`` of one of Hypersim's files.

    Raises:
        ImportError: The package h5py is not installed.
        ValueError: The file is damaged, has no such array, or the array is too large.
    """
    h5py = import_reader('h5py', 'Hypersim')
    with damage_named(name, f'an HDF5 file of Hypersim, whose "dataset" has at most {MOST_BYTES} bytes'):
        dataset = h5py.File(io.BytesIO(content))['dataset']
        if dataset.nbytes > MOST_BYTES:  # a small file may declare any size
            raise ValueError(f'{dataset.nbytes} bytes')
        return dataset[:]


def import_reader(package: str, data: str):
    """Import a package that only the files of one data set need.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"The files of {data} need the package {package}: pip install 'mmdiffperc[seg]'") from error


@contextmanager
def damage_named(name: str, expected: str) -> Iterator[None]:
    """Convert any error of a reader to a ``ValueError`` that names the file and what was expected."""
    try:
        yield
    except Exception as error:  # h5py and scipy have no common error for damaged content
        raise ValueError(f'{name}: expected {expected}, but the file is damaged or different ({error})') from error


def _expect(condition: bool, expected: str, name: str):
    if not condition:
        raise ValueError(f'{name}: expected {expected}; check that the format fits the file')


def _described(array):
    return f'{array.dtype} of {array.shape}'


# From the content of a file, its name and the size of its image to depth or normals, NaN or 0 where they are unknown.
FORMATS = {
    'diode_depth': array_depth,
    'dsine_normals': partial(stored_normals, axes='DSINE'),
    'eth3d_depth': raw_depth,
    'hypersim_depth': hypersim_depth,
    'hypersim_normals': hypersim_normals,
    'ibims_depth': ibims_depth,
    'kitti_depth': partial(integer_depth, unit=KITTI_UNIT),
    'marigold_normals': partial(stored_normals, axes='Marigold'),
    'nyu_depth': partial(integer_depth, unit=MILLIMETRE),
    'scannet_depth': partial(integer_depth, unit=MILLIMETRE),
    'sintel_depth': sintel_depth,
    'sun_depth': sun_depth,
    'virtual_kitti_depth': virtual_kitti_depth,
    'virtual_kitti_normals': virtual_kitti_normals,
}
TargetFormat = Literal[tuple(FORMATS)]


@TRANSFORMS.register_module()
@validated
class LoadPublishedTarget:
    """Load depth or normals from a file of a published data set.

    Depth becomes metres along the optical axis. Normals become unit vectors in camera coordinates: x right, y up, z
    towards the viewer. Place the transform like ``LoadTarget``.

    - ``'diode_depth'``: DIODE, npy in metres; its masks are npy files, too.
    - ``'dsine_normals'``: NYUv2 and ScanNet in the evaluation data of DSINE, 8-bit png whose x axis points left.
    - ``'eth3d_depth'``: ETH3D, 32-bit numbers in metres without a header; infinite where unknown.
    - ``'hypersim_depth'``: Hypersim, ``depth_meters.hdf5``, which holds the distance from the camera. It becomes planar
      depth by the focal length of 886.81 pixels. Or 16-bit png of planar depth in millimetres, as
      ``tools/dataset_converters/hypersim.py`` and Marigold's preprocessing write them.
    - ``'hypersim_normals'``: Hypersim, ``normal_cam.hdf5``. Normals that point away from the camera are turned. Or png
      as the converter writes them.
    - ``'ibims_depth'``: iBims-1, mat in metres, without ``mask_invalid`` and ``mask_transp``.
    - ``'kitti_depth'``: KITTI, 16-bit png of 256 units per metre.
    - ``'marigold_normals'``: NYUv2, ScanNet, iBims-1, DIODE, OASIS and Sintel as distributed by Marigold, npy.
    - ``'nyu_depth'`` and ``'scannet_depth'``: NYUv2 and ScanNet, 16-bit png in millimetres.
    - ``'sintel_depth'``: Sintel, dpt in metres.
    - ``'sun_depth'``: SUN RGB-D, 16-bit png in millimetres, whose bits are rotated by three.
    - ``'virtual_kitti_depth'``: Virtual KITTI 2, 16-bit png in centimetres; 65535 is the sky.
    - ``'virtual_kitti_normals'``: Virtual KITTI 2, the same files, see :func:`.normals_from_depth`. Or png as
      ``tools/dataset_converters/virtual_kitti.py`` writes them.

    Pixels are invalid if a mask excludes them, if their depth is not positive or not finite, or if their normal has no
    length.

    Required keys: ``target_path`` and ``target_key``, and possibly ``mask_path`` and ``mask_key``, from
    ``ListedTargetDataset``; and ``ori_shape``. Without ``target_path``, for instance with your own image in a test
    pipeline, the transform does nothing. Added keys: ``gt_target``, ``(H, W)`` or ``(H, W, 3)`` in single precision, 0
    where it is invalid, and ``gt_valid``, ``(H, W)`` in 8 bits, 1 where it is valid; for normals, ``normal_fields``.
    Modified key: ``seg_fields``.

    Args:
        format (str): One of the formats above.
        valid_range (Sequence[float], optional): The lowest and the highest valid depth in metres. Marigold and E2E-FT
            train with (1e-5, 65) on Hypersim and with (1e-5, 80) on Virtual KITTI 2. Default: all depth is valid.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: When building: an unknown format, a range without depth, or a range for normals. When loading: the
            file or its mask is damaged, has another format, or differs in size from the image.
        ImportError: The file needs h5py or scipy, which is not installed.
    """

    def __init__(self, format: TargetFormat, valid_range: Range | None = None):
        if valid_range and format.endswith('normals'):
            raise ValueError(f'valid_range={valid_range} is for depth; format={format!r} holds normals')
        if valid_range and valid_range[0] >= valid_range[1]:
            raise ValueError(f'valid_range={valid_range}: expected the lowest depth, and then a greater highest one')
        self.valid_range = valid_range or (0, np.inf)
        self.read = FORMATS[format]

    def __call__(self, results: dict) -> dict:
        """Load the target."""
        if 'target_path' not in results:
            return results
        file = Path(results['target_path'], results['target_key'])
        target = self.read(file.read_bytes(), str(file), tuple(results['ori_shape']))
        check_size(target, str(file), results)
        target, valid = self._depth(target) if target.ndim == 2 else unit_normals(target)
        if (mask := mask_of(results)) is not None:
            valid &= mask[..., 0]
        if target.ndim == 3:
            results.setdefault('normal_fields', []).append('gt_target')
        target[~valid] = 0
        results.update(gt_target=target.astype(np.float32), gt_valid=valid.astype(np.uint8))
        results.setdefault('seg_fields', []).extend(['gt_target', 'gt_valid'])
        return results

    def _depth(self, depth):
        low, high = self.valid_range
        return np.array(depth), np.isfinite(depth) & (depth > 0) & (low <= depth) & (depth <= high)
