"""Measured depth beside images, which turns relative depth into metres."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdiffperc.evaluation.alignment import DepthFit, fit_depth

from .data.target_files import SUFFIXES, decode_target

METHODS = dict(metric='least_squares', affine='least_squares', disparity='least_squares_disparity')  # by kind
MILLIMETRES = 0.001


@dataclass(frozen=True)
class MeasuredDepth:
    """A folder with the measured depth of each image, or the depth that another model predicted for it.

    The file of an image is ``NAME.npz``, ``NAME.npy`` or ``NAME.png``, and the file of the first frame of a video is
    ``NAME/000000.npz``. Pixels without a measurement are 0 or NaN.

    Args:
        folder (Path): The folder.
        unit (float): Length in metres of one unit in files of integers, such as PNG; other numbers are metres. Defaults
            to 0.001, for millimetres.
    """

    folder: Path
    unit: float = MILLIMETRES

    def read(self, stem: str, size: tuple[int, int]) -> np.ndarray:
        """Read the depth of an image in metres, ``(H, W)``.

        Args:
            stem (str): The name of the image, without suffix.
            size (tuple[int, int]): Its height and width.

        Raises:
            FileNotFoundError: There is no file.
            ValueError: The file is damaged, or its map has another size.
        """
        files = [self.folder / f'{stem}{suffix}' for suffix in SUFFIXES]
        file = next(filter(Path.is_file, files), None)
        if file is None:
            raise FileNotFoundError(f'{self.folder}: no measured depth of {stem}: expected {stem}.npz, .npy or .png')
        depth = decode_target(file.read_bytes(), str(file))
        if depth.shape != tuple(size):
            raise ValueError(
                f'{file}: expected depth {tuple(size)} (height, width), the size of the image, got {depth.shape}'
            )
        return depth * self.unit if depth.dtype.kind in 'iu' else depth

    def fit(self, prediction: np.ndarray, kind: str, stem: str) -> DepthFit:
        """Fit a predicted map to the measured depth of its image, by least squares in depth or disparity.

        Args:
            prediction (np.ndarray): ``(H, W)``.
            kind (str): See :attr:`.TargetCodec.kind`.
            stem (str): The name of the image, without suffix.

        Raises:
            FileNotFoundError: See :meth:`read`.
            ValueError: See :meth:`read`; or the kind of map has no depth.
            AlignmentError: The measured depth does not determine a scale and a shift.
        """
        if kind not in METHODS:
            raise ValueError(f'fit_depth: expected a model of {", ".join(METHODS)} depth, but this one predicts {kind}')
        return fit_depth(prediction, self.read(stem, prediction.shape), METHODS[kind])
