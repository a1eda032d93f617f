"""The images that a network is calibrated on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlubench.images.datasets.calibration_list import calibration_images
from mlubench.images.datasets.dataset import Dataset, calibration_split
from mlubench.images.datasets.digits import write_digits
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks.choose import SAMPLE, Network, is_given_by_files
from mlubench.networks.options import NetworkSource


@dataclass(frozen=True)
class CalibrationImages:
    """Decoded images to calibrate on, and how they were preprocessed."""

    images: DecodedImages
    preprocess: Preprocess

    def sound(self) -> list[int]:
        """Return the rows that could be decoded; the others calibrate nothing."""
        corrupt = set(self.images.corrupt)
        return [row for row in range(self.images.shape[0]) if row not in corrupt]

    def unfit(self) -> tuple[str, ...]:
        """Return the names of those that could not be decoded."""
        return tuple(self.images.records[row].name for row in self.images.corrupt)

    def identity(self) -> dict[str, Any]:
        """Return what the pixels depend on, as JSON values."""
        preprocess = dataclasses.asdict(self.preprocess)
        return {"content": self.images.content_digest, "preprocess": preprocess}


def calibration_dataset(asked: NetworkSource, network: Network, data: Path) -> Dataset | None:
    """Return the images to calibrate on; the sample brings its own. None where none are named.

    Raises:
        DatasetError: they cannot be used.
        StoreError: the sample's cannot be written.
    """
    if asked.calibration_dir is not None:
        images = calibration_images(asked.calibration_dir, asked.file_list, data)
    elif network.name == SAMPLE and not is_given_by_files(asked):
        images = calibration_images(write_digits(data / "digits").train, None, data)
    else:
        return None
    few = asked.calibration_num < len(images.images)
    return calibration_split(images, asked.calibration_num)[0] if few else images
