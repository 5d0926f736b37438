"""Encode predictions as PNG, npz and JSON."""

import io
import json
import struct
import zlib

import cv2
import numpy as np

_PNG_HEADER = 33  # bytes of the signature and of the first chunk


def encode_png(picture: np.ndarray) -> bytes:
    """Encode ``(H, W)`` or RGB ``(H, W, 3)``, uint8 or uint16, as PNG."""
    return cv2.imencode('.png', picture[..., ::-1] if picture.ndim == 3 else picture)[1].tobytes()


def add_text(png: bytes, **entries: str) -> bytes:
    """Add text entries to a PNG, under their names."""
    chunks = [f'{name}\0{text}'.encode('latin-1') for name, text in entries.items()]
    added = b''.join(
        struct.pack('>I', len(chunk)) + b'tEXt' + chunk + struct.pack('>I', zlib.crc32(b'tEXt' + chunk))
        for chunk in chunks
    )
    return png[:_PNG_HEADER] + added + png[_PNG_HEADER:]


def encode_npz(**arrays: np.ndarray) -> bytes:
    """Encode arrays under their names as a compressed npz."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def encode_json(content: dict | list) -> bytes:
    """Encode plain data as indented JSON."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode()
