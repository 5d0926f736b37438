"""Encode predictions as PNG, npz and JSON."""

import io
import json

import cv2
import numpy as np


def encode_png(picture: np.ndarray) -> bytes:
    """Encode ``(H, W)`` or RGB ``(H, W, 3)``, uint8 or uint16, as PNG."""
    return cv2.imencode('.png', picture[..., ::-1] if picture.ndim == 3 else picture)[1].tobytes()


def encode_npz(**arrays: np.ndarray) -> bytes:
    """Encode arrays under their names as a compressed npz."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def encode_json(content: dict | list) -> bytes:
    """Encode plain data as indented JSON."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode()
