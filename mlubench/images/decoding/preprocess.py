"""Preprocessing to the pixel: resize with OpenCV, crop at the centre.

Means and variances are not applied here; they are part of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from mlubench.errors import ConfigError, DatasetError
from mlubench.images.datasets.damage import DamagedImage
from mlubench.images.decoding.image_file import MAX_PIXELS

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes a network's input.

    Args:
        resize: ``short``: the short side becomes ``resize_size``, the picture keeps its shape;
            ``exact``: both sides become ``resize_size``; ``none``: the picture stays as it is.
        resize_size: pixels; without meaning for ``none``.
        crop: the network's input in pixels: the side of a square, or (height, width).

    Raises:
        ConfigError: a size below 1, or a crop that no resized picture can hold.
    """

    resize: Literal["short", "exact", "none"]
    resize_size: int
    crop: int | tuple[int, int]

    def __post_init__(self) -> None:
        height, width = self.crop_shape
        if self.resize not in ("short", "exact", "none"):
            raise ConfigError(f"{self.resize!r}", where="--resize", expected="short|exact|none")
        if min(height, width) < 1:
            raise ConfigError(f"{height} x {width}", where="--input_size", expected="1 or more")
        least = {"short": min(height, width), "exact": max(height, width), "none": 0}[self.resize]
        if self.resize_size < least:
            raise ConfigError(
                f"pictures resized to {self.resize_size} cannot hold a crop of {height} x {width}",
                where="--resize_size",
                expected=f"{least} or more",
            )

    @property
    def crop_shape(self) -> tuple[int, int]:
        """The crop as (height, width)."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop


def preprocess(image: Pixels, spec: Preprocess, *, name: str = "the image") -> Pixels:
    """Resize and crop one picture.

    The resize is bilinear (``cv2.INTER_LINEAR``). With ``short`` the long side becomes
    ``long * resize_size / short``, rounded to the nearest integer (a half to the even one, as
    OpenCV rounds). With it SqueezeNet v1.1 in OpenCV's own importer gets 628 / 843 of the 1000
    reference images right (top-1 / top-5), which are the reference counts; truncation gives
    630 / 840, rounding up 629 / 856. The crop begins at ``(side - crop) // 2``.

    Args:
        image: uint8 [height, width, 3].
        spec: what to do.
        name: the image's name, for messages.

    Returns:
        uint8 [crop height, crop width, 3], maybe a view of ``image``.

    Raises:
        DatasetError: the crop is larger than the picture.
        DamagedImage: the picture is so long and narrow that it would become too large.
    """
    resized = _resize(image, spec)
    height, width = resized.shape[:2]
    crop_height, crop_width = spec.crop_shape
    if crop_height > height or crop_width > width:
        raise DatasetError(
            f"the picture is {height} x {width} (height x width) where it is cropped",
            where=name,
            expected=f"at least {crop_height} x {crop_width}, the network's input",
            fix="resize with --resize short or exact and a larger --resize_size",
        )
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return resized[top : top + crop_height, left : left + crop_width]


def _resize(image: Pixels, spec: Preprocess) -> Pixels:
    if spec.resize == "none":
        return image
    height, width = _resized_shape(image.shape[0], image.shape[1], spec)
    if height * width > MAX_PIXELS:
        raise DamagedImage("too large", f"resized it would have {height} x {width} pixels")
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def _resized_shape(height: int, width: int, spec: Preprocess) -> tuple[int, int]:
    size = spec.resize_size
    if spec.resize == "exact":
        return size, size
    if width < height:
        return round(height * size / width), size
    return size, round(width * size / height)
