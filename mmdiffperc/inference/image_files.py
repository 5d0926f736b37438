"""Your own images and their captions."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmdiffperc.files import read_text

from .image_limits import check_pixels, unreadable
from .metadata import list_images
from .single_image import check_image


def find_images(path: str | Path) -> list[tuple[Path, str | None]]:
    """Return the image, or the images of a folder, each with its first caption in ``metadata.jsonl``, if any.

    They are in the order of their names.

    Raises:
        FileNotFoundError: A folder without images.
        ValueError: Two images of the folder differ in their suffix only; its metadata are damaged.
    """
    path = Path(path)
    if not path.is_dir():
        return [(path, None)]
    images = [(path / name, captions[0] if captions else None) for name, captions in sorted(list_images(path))]
    check_names([image for image, _ in images])
    return images


def check_names(images: Sequence[Path]):
    """Check that files named after the images have different names.

    Raises:
        ValueError: Two images of a folder differ in their suffix only.
    """
    stems = {}
    for image in images:
        if (other := stems.setdefault(image.with_suffix(''), image)) is not image:
            raise ValueError(f'{other} and {image} would be written to the same files; rename one')


def read_image(image: str | Path | np.ndarray) -> np.ndarray:
    """Read an image ``(H, W, 3)`` in BGR, uint8, upright as its EXIF data say, from a file or as it is.

    Raises:
        OSError: There is no such file.
        TypeError: It is neither file nor array.
        ValueError: The file holds no image, or too many pixels; or the array is of another shape or type.
    """
    check_image(image)
    if isinstance(image, np.ndarray):
        return image
    if not Path(image).exists():
        raise FileNotFoundError(f'{image}: no such image; check the path')
    content = Path(image).read_bytes()
    is_known = check_pixels(content, str(image))
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if is_known else None
    if decoded is None:
        raise unreadable(str(image))
    return decoded


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text file in UTF-8, with or without a byte order mark; empty lines do not count.

    Raises:
        OSError: There is no such file.
        ValueError: It holds no text.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_prompts(path: str | Path) -> list[str]:
    """Read the prompts of a text file, one per line; empty lines do not count.

    Raises:
        OSError: There is no such file.
        ValueError: It holds no text, or no prompt.
    """
    prompts = read_lines(path)
    if not prompts:
        raise ValueError(f'{path}: expected prompts, one a line; the file is empty')
    return prompts


def read_captions(path: str | Path, number: int) -> list[str]:
    """Read the captions of a number of images from a text file, one per line.

    Raises:
        OSError: There is no such file.
        ValueError: It has another number of lines.
    """
    captions = read_prompts(path)
    if len(captions) != number:
        raise ValueError(f'{path}: expected a line for each image, {number} in all, got {len(captions)}')
    return captions
