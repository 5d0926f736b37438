"""Files of tensors, read in pieces so that memory never holds a whole file in addition to the module."""

import math
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.compat.checkpoint_content import check_finite
from mmdiffperc.files import brief
from mmdiffperc.progress import progress

Shapes = dict[str, tuple[int, ...]]
GetTensor = Callable[[str], Tensor]

# Pages of a mapped file count as memory of the process until the file is unmapped.
_MAPPED_BYTES = 64 * 2**20
# Suffixes of files in which other programs store the same networks.
FOREIGN_FORMATS = {'.msgpack': 'Flax', '.onnx': 'ONNX', '.xml': 'OpenVINO', '.gguf': 'GGUF', '.h5': 'TensorFlow'}
_WEB_PAGE = 'is a web page, not weights: the download was answered by a log-in, licence or error page. Get it again'
_HEADS_OF_OTHER_FILES = {
    b'version https://git-lfs': 'is a git-lfs pointer, not the weights: run `git lfs pull` in its repository',
    b'<!doctype': _WEB_PAGE,
    b'<html': _WEB_PAGE,
    b'<?xml': _WEB_PAGE,
}


class Assignment(NamedTuple):
    """One weight of a module and the tensor that fills it.

    Args:
        target (Tensor): The weight, filled in place.
        key (str): Name of the tensor in the file.
        third (int, optional): The third of the rows to take, 0 to 2, if the file keeps query, key and value in one
            tensor.
        is_transposed (bool): The file keeps the transposed matrix. Defaults to False.
    """

    target: Tensor
    key: str
    third: int | None = None
    is_transposed: bool = False

    def copy_from(self, tensor: Tensor) -> None:
        """Copy the file's tensor, a third of it, or its transpose into the weight."""
        if self.third is not None:
            tensor = tensor.chunk(3)[self.third]
        if self.is_transposed:
            tensor = tensor.T
        self.target.copy_(tensor.reshape(self.target.shape))


class WeightFile:
    """A ``.safetensors`` file, or a pickled one (``.ckpt``, ``.pt``, ``.pth``, ``.bin``), wrapped or not.

    Attributes:
        path (Path): The file.
        shapes (dict[str, tuple[int, ...]]): Shape of each tensor. Reading the shapes reads no tensor.

    Raises:
        FileNotFoundError: The file does not exist.
        RuntimeError: The file is truncated, or holds no weights.
        pickle.UnpicklingError: The file refers to code that loading would execute.
        ValueError: A pickled file holds more than plain data, such as a sparse tensor.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'No weights file {str(path)!r}; check its path.')
        self._refuse_other_files()
        self._open = self._safetensors if self.path.suffix == '.safetensors' else self._pickled
        with self._open() as (shapes, _):
            self.shapes = shapes

    def fill(self, assignments: Iterable[Assignment]) -> None:
        """Copy tensors of the file into weights, which keep their dtype and device.

        Raises:
            ValueError: A tensor is NaN, infinite or not of a floating-point type. Earlier tensors have been copied.
        """
        order = {key: place for place, key in enumerate(self.shapes)}  # a disk reads fastest from front to back
        in_order = sorted(assignments, key=lambda assignment: order[assignment.key])
        with torch.no_grad(), progress(None, self.path.name, 'weight', total=len(in_order)) as bar:
            for batch in self._batches(in_order):
                with self._open() as (_, get):
                    for assignment in batch:
                        tensor = get(assignment.key)
                        self._check(assignment.key, tensor)
                        assignment.copy_from(tensor)
                        bar.update()

    def _check(self, key: str, tensor: Tensor) -> None:
        check_finite({key: tensor}, str(self.path))
        if not tensor.is_floating_point():
            raise ValueError(
                f'{self.path}: {brief(key, 200)} holds {tensor.dtype}, as after a quantization; expected floats'
            )

    def _batches(self, assignments: Iterable[Assignment]) -> Iterator[list[Assignment]]:
        # Pickles of torch < 1.6 are not zip files, and can only be read as a whole.
        is_mappable = self.path.suffix == '.safetensors' or zipfile.is_zipfile(self.path)
        limit = _MAPPED_BYTES if is_mappable else math.inf
        batch, size = [], 0
        for assignment in assignments:
            batch.append(assignment)
            size += 4 * math.prod(self.shapes[assignment.key])
            if size >= limit:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    @contextmanager
    def _safetensors(self) -> Iterator[tuple[Shapes, GetTensor]]:
        try:
            with safe_open(self.path, framework='pt') as file:
                yield {key: tuple(file.get_slice(key).get_shape()) for key in file.offset_keys()}, file.get_tensor
        except SafetensorError as error:
            raise RuntimeError(
                f'{self.path} could not be read as a safetensors file ({error}). If it was copied or downloaded it may '
                'be incomplete: compare its size with the source, or get it again.'
            ) from error

    @contextmanager
    def _pickled(self) -> Iterator[tuple[Shapes, GetTensor]]:
        content = load_file(self.path, mmap=True)
        tensors = content.get('state_dict', content) if isinstance(content, dict) else {}
        tensors = _flat(tensors) if isinstance(tensors, dict) else {}
        shapes = {key: tuple(value.shape) for key, value in tensors.items() if isinstance(value, Tensor)}
        yield shapes, tensors.__getitem__

    def _refuse_other_files(self) -> None:
        if program := FOREIGN_FORMATS.get(self.path.suffix.lower()):
            raise RuntimeError(f'{self.path} has the format of {program}; expected PyTorch or safetensors.')
        with self.path.open('rb') as file:
            head = file.read(64).lstrip().lower()
        for start, message in _HEADS_OF_OTHER_FILES.items():
            if head.startswith(start):
                raise RuntimeError(f'{self.path} {message}.')


def _flat(content: dict) -> dict:
    """Join the names of a dict of dicts, as in the files of IP-Adapters: ``image_proj.proj.weight``."""
    groups = {key: value for key, value in content.items() if isinstance(value, dict)}
    joined = {f'{group}.{name}': value for group, values in groups.items() for name, value in values.items()}
    return {key: value for key, value in content.items() if key not in groups} | joined
