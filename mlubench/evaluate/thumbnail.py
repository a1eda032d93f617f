"""Small pictures of what a network saw, for pages."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

#: The longer side is made so many pixels, unless it has fewer; shown at about that size.
SIDE = 112
_QUALITY = 80


def thumbnail(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a small JPEG of a network's input: the crop that it saw, not the whole file.

    The same pixels give the same bytes.

    Args:
        pixels: uint8 [height, width, 3], BGR.
    """
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    small = np.ascontiguousarray(pixels)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    data: bytes = simplejpeg.encode_jpeg(
        small, quality=_QUALITY, colorspace="BGR", colorsubsampling="420"
    )
    return data
