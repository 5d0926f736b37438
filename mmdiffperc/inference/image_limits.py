"""The limits on the size of an image, checked by its header before it is decoded."""

import io
from pathlib import Path

from PIL import Image

MOST_PIXELS = 100_000_000
LONGEST_SIDE = 2**20  # OpenCV fails beyond


def check_pixels(image: bytes | str | Path, name: str, most: int = MOST_PIXELS) -> bool:
    """Check that an image is not too large to be decoded; a file of 1 MB may hold a gigapixel.

    Args:
        image (bytes | str | Path): The content of a file, or the path of a file that exists.
        name (str): Name of the file, for messages.
        most (int): Number of pixels that it may have. Defaults to ``MOST_PIXELS``.

    Returns:
        bool: Whether Pillow knows the format. If it does not, nothing has been checked.

    Raises:
        ValueError: The image has too many pixels.
    """
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as header:
            width, height = header.size
    except Image.DecompressionBombError as error:  # more than twice Pillow's own limit
        raise ValueError(f'{name}: too many pixels ({error}); at most {most} are read') from error
    except Exception:  # a crafted header can make a reader fail in any way
        return False
    if width * height > most or max(width, height) > LONGEST_SIDE:
        raise ValueError(
            f'{name}: too many pixels, {width} x {height}; at most {most} are read, {LONGEST_SIDE} on a side'
        )
    return True


def unreadable(name: str) -> ValueError:
    """Return the error for a file without a readable image."""
    return ValueError(f'{name}: empty, damaged, or not an image of 8 or 16 bits; get the file again, or save it as PNG')
