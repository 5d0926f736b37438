"""What happens to files on their way: cut, exchanged for another kind, packed, or written over."""

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

PNG = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0'
LFS_POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 3438354725\n'


def damaged(content: bytes) -> dict[str, bytes]:
    """Return what is left of a file, by what has happened to it."""
    return {
        'empty': b'',
        'a single byte': content[:1],
        'cut in its beginning': content[:60],
        'cut in half': content[: len(content) // 2],
        'without its last bytes': content[:-40],
        'zeros': bytes(len(content)),
        'random bytes': random.Random(0).randbytes(2000),
        'a web page': b'<!DOCTYPE html><html><body>Please log in</body></html>',
        'an error in XML': b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        'a git-lfs pointer': LFS_POINTER,
        'text': 'weights of the model, später\n'.encode(),
        'JSON': b'{"weights": [1, 2, 3]}',
        'an image': PNG,
        'zipped': zipped(content),
        'text in front': b'downloaded: ' + content,
    }


def zipped(content: bytes) -> bytes:
    """Return a compressed archive of a file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('weights', content)
    return file.getvalue()


def safetensors(header: object, data: bytes = bytes(16)) -> bytes:
    """Return a file of this header, which may be ``bytes`` if it is no JSON."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(encoded)) + encoded + data


def give(use: Callable[[Path], object], name: str, content: bytes) -> object:
    """Write a file, and let it be used."""
    with TemporaryDirectory(prefix='case-') as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return use(path)
