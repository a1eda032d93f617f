"""Pictures of flipped images, kept in the run folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mlubench.evaluate.flips import PICTURED
from mlubench.evaluate.thumbnails import read_thumbnails, write_thumbnails
from tests.support.pages import IMAGES, LOST, decoded_images, flips_of, write_nights


def test_each_picture_is_of_the_image_by_its_name(tmp_path: Path) -> None:
    run = write_nights(tmp_path, nights=6)
    (part,) = flips_of(run)
    assert part.total == LOST
    write_thumbnails(run, [part], decoded_images(tmp_path, IMAGES))
    found = read_thumbnails(run)
    assert len(found) == PICTURED
    assert set(found) <= {flip.image for flip in part.flips}
    for name, jpeg in found.items():
        seen = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        grey = int(name.removeprefix("image_").removesuffix(".JPEG")) % 256
        assert abs(float(seen.mean()) - grey) < 2


def test_the_file_is_sorted_and_the_same_again(tmp_path: Path) -> None:
    import pandas as pd

    run = write_nights(tmp_path, nights=6)
    path = run / "thumbnails.parquet"
    written = set()
    for _ in range(2):
        write_thumbnails(run, flips_of(run), decoded_images(tmp_path, IMAGES))
        written.add(path.read_bytes())
    assert len(written) == 1
    assert pd.read_parquet(path).image.is_monotonic_increasing


def test_a_run_without_flips_or_of_an_older_version_has_none(tmp_path: Path) -> None:
    run = write_nights(tmp_path, nights=1)
    assert read_thumbnails(run) == {}
    write_thumbnails(run, [], decoded_images(tmp_path, IMAGES))
    assert read_thumbnails(run) == {}
    assert (run / "thumbnails.parquet").is_file()
