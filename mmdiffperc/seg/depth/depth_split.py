"""Split files of monocular depth, as BTS, VPD and MetaPrompts share them."""

from mmdiffperc.files import brief, relative_name

NO_DEPTH = 'None'


def parse_depth_split(content: bytes, name: str) -> list[tuple[str, str]]:
    """Read the lines ``image depth [focal length]`` of a split file.

    Frames whose depth is ``None`` (45 of the 697 test images of KITTI in BTS's list) are left out, leading slashes and
    the focal length dropped.

    Args:
        content (bytes): Of the file, in UTF-8, with or without a byte order mark.
        name (str): Its name, for messages.

    Returns:
        list[tuple[str, str]]: Paths of image and depth map, of every frame that has depth.

    Raises:
        ValueError: A line is not as described or leads out of the folder, no frame has depth, or the file is no text.
    """
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{name} is not text: expected lines "image depth [focal length]"') from error
    frames = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and len(words) not in (2, 3):
            raise ValueError(f'{name}, line {number}: expected "image depth [focal length]", got {brief(line)}')
        if words and words[1] != NO_DEPTH:
            image, depth = (relative_name(word.lstrip('/'), f'{name}, line {number}') for word in words[:2])
            frames.append((image, depth))
    if not frames:
        raise ValueError(f'{name}: no line names an image with depth: expected lines "image depth [focal length]"')
    return frames
