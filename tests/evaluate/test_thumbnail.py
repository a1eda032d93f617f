"""Thumbnails: small, alike to the pixels, the same bytes again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mlubench.evaluate.thumbnails import SIDE, thumbnail


def _gradient(height: int, width: int) -> np.ndarray:
    across = np.linspace(0, 255, width)[np.newaxis, :, np.newaxis]
    pixels = np.broadcast_to(across, (height, width, 3)).copy()
    pixels[..., 2] = 200  # red, so that an exchange of channels shows
    return pixels.astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((224, 224), (SIDE, SIDE)), ((448, 224), (SIDE, SIDE // 2)), ((56, 40), (56, 40))],
)
def test_it_is_the_picture_made_small(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = _gradient(*shape)
    data = thumbnail(pixels)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (*expected, 3)
    wanted = cv2.resize(pixels, expected[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(seen.astype(int) - wanted.astype(int)).mean() < 4
    assert thumbnail(pixels) == data


def test_a_picture_of_noise_is_still_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert len(thumbnail(noise)) < 8192
