"""What the header of an image file says: size, bits, and the EXIF orientation that a loader may follow."""

from typing import Any, NamedTuple

from mmengine.registry import TRANSFORMS
from PIL import ExifTags, Image

UPRIGHT = 1
QUARTER_TURNS = (5, 6, 7, 8)  # the EXIF orientations that exchange height and width
# What OpenCV and Pillow turn alike; they disagree about WebP.
TURNED_FORMATS = ('JPEG', 'MPO', 'PNG')
TURNING_LOADERS = dict(imdecode_backend=('cv2', 'pillow'), color_type=('color', 'grayscale'))
MODES_OF_8_BITS = ('1', 'L', 'P', 'LA', 'RGB', 'RGBA')


class ImageHeader(NamedTuple):
    """The header of an image file.

    Args:
        stored (tuple[int, int]): Height and width of the pixels in the file. Pillow has turned those of a TIFF.
        kind (str): The file format as Pillow calls it, such as 'JPEG'.
        orientation (int): The EXIF orientation, 1 if there is none.
        mode (str): Pillow's mode, such as 'RGB' or 'I;16'.
    """

    stored: tuple[int, int]
    kind: str
    orientation: int
    mode: str

    @property
    def turned(self) -> tuple[int, int]:
        """Height and width after the EXIF orientation was followed."""
        return self.stored[::-1] if self.orientation in QUARTER_TURNS and self.kind != 'TIFF' else self.stored

    @property
    def has_8_bits(self) -> bool:
        """Return whether no channel has more than 8 bits."""
        return self.mode in MODES_OF_8_BITS

    def sizes(self, loader: Any) -> list[tuple[int, int]]:
        """Return the sizes that the loaded image may have; two, if the loader or the format leaves it open.

        Args:
            loader (Any): The transform that loads the image, or None.
        """
        if loader is None or self.kind not in TURNED_FORMATS:
            return [self.stored, self.turned]
        return [self.turned if turns_images(loader) else self.stored]

    def is_turned_in_place(self, loader: Any) -> bool:
        """Return whether loading turns or mirrors the image without changing its size.

        Args:
            loader (Any): The transform that loads the image, or None for one with its defaults.
        """
        return (
            self.kind in TURNED_FORMATS
            and self.orientation != UPRIGHT
            and self.turned == self.stored
            and (loader is None or turns_images(loader))
        )


def read_header(path: str | None) -> ImageHeader | None:
    """Read the header of a local image file.

    Returns:
        ImageHeader, optional: None if Pillow cannot read it.
    """
    try:
        with Image.open(path) as header:
            # Not the method of the format, which may decode the image to find the tag.
            orientation = Image.Image.getexif(header).get(ExifTags.Base.Orientation)
            known = orientation in range(UPRIGHT, 9)
            return ImageHeader(header.size[::-1], header.format, orientation if known else UPRIGHT, header.mode)
    except Exception:  # a damaged header can make a reader fail in any way; the loader will say so
        return None


def image_loader(transforms: Any) -> Any:
    """Return the first transform of a pipeline that loads images, or None."""
    return next((transform for transform in transforms if hasattr(transform, 'color_type')), None)


def turns_images(loader: Any) -> bool:
    """Return whether a loader follows the EXIF orientation of an image."""
    return all(getattr(loader, option) in values for option, values in TURNING_LOADERS.items())


def raw_pixels_option(loader: Any) -> str:
    """Return the loader, as a config names it, with the option that lets it ignore the EXIF orientation."""
    return f"dict(type='{registered_name(type(loader))}', color_type='color_ignore_orientation')"


def registered_name(transform: type) -> str:
    """Return the name under which a config finds a transform, which may differ from the name of its class."""
    for registry in (TRANSFORMS, *TRANSFORMS.children.values()):
        for name, registered in registry.module_dict.items():
            if registered is transform:
                return name
    return transform.__name__
