"""The size that an image has once it is loaded, read from the header of its file."""

from typing import Any, NamedTuple

from PIL import ExifTags, Image

from .coco_images import QUARTER_TURNS, TURNED_FORMATS, TURNING_LOADERS

UPRIGHT = 1
Size = tuple[int, int]


class ImageHeader(NamedTuple):
    """What the header of an image file says.

    Args:
        size (tuple[int, int]): Height and width, as stored.
        orientation (int): Of EXIF: 1 to 8, where 1 is upright.
        kind (str): Pillow's name of the format.
    """

    size: Size
    orientation: int
    kind: str | None

    def sizes(self, loader: Any) -> list[Size]:
        """Return the sizes that the loaded image may have; several, if the loader or the format leaves it open.

        Args:
            loader (Any): The transform that loads the image, or None.
        """
        turned = self.size[::-1] if self.orientation in QUARTER_TURNS and self.kind != 'TIFF' else self.size
        if loader is None or self.kind not in TURNED_FORMATS:  # Pillow has turned a TIFF already
            return [self.size, turned]
        return [turned if follows_exif(loader) else self.size]

    def is_turned_unseen(self, loader: Any) -> bool:
        """Return whether loading turns or mirrors the image without changing its size.

        Args:
            loader (Any): The transform that loads the image, or None for one with its defaults.
        """
        is_turned = UPRIGHT < self.orientation <= max(QUARTER_TURNS) and self.kind in TURNED_FORMATS
        keeps_size = self.orientation not in QUARTER_TURNS or self.size == self.size[::-1]
        return is_turned and keeps_size and (loader is None or follows_exif(loader))


def follows_exif(loader: Any) -> bool:
    """Return whether a transform that loads images turns them by their EXIF orientation."""
    return all(getattr(loader, option) in values for option, values in TURNING_LOADERS.items())


def read_header(path: str | None) -> ImageHeader | None:
    """Read the header of an image file; None, if Pillow does not know it."""
    try:
        with Image.open(path) as image:
            # Not the method of the format, which may decode the image to find the tag.
            orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
            return ImageHeader(image.size[::-1], orientation if orientation in range(1, 9) else UPRIGHT, image.format)
    except Exception:  # a damaged header can make a reader fail in any way; the loader will say so
        return None
