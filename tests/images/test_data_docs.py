"""docs/data.md: what it says of files on the disk and of the forms holds."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from mlubench import catalogue
from mlubench.images.decoding.blocks import BLOCK_IMAGES
from mlubench.images.decoding.decoder import decode_dataset
from mlubench.images.decoding.preprocess import Preprocess
from tests.images.pictures import jpeg, picture, write_folder

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(text)


def test_the_decoded_images_are_as_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{number:03d}.jpg": jpeg(picture(40, 50, seed=number)) for number in range(70)}
    files["003.jpg"] = files["003.jpg"][:99]
    dataset = write_folder(tmp_path / "images", files)
    spec = Preprocess("none", 32, 32)
    root = tmp_path / "decoded"
    decoded = decode_dataset(dataset, spec, root, workers=1, progress=lambda done, total: None)
    folder = decoded.path.parent
    assert f"A block is {BLOCK_IMAGES} images" in TEXT

    exec(_block("python").replace("artifacts/cache/decoded/KEY", str(folder)), {})
    means = [float(word) for word in capsys.readouterr().out.strip(" []\n").split()]
    np.testing.assert_allclose(means, decoded.pixels()[0].mean(axis=(0, 1)), rtol=1e-6)

    manifest = json.loads((folder / "manifest.json").read_text())
    digests = [hashlib.sha256(data).hexdigest() for _, data in sorted(files.items())]
    assert manifest["sha256"] == "".join(digests)
    assert [entry[:2] for entry in manifest["corrupt"]] == [[3, "truncated"]]
    lines = (
        f"{image.name}\0{image.class_id}\0{digest}\n"
        for image, digest in zip(dataset.images, digests, strict=True)
    )
    assert manifest["content_digest"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    raw = (folder / "images.u8").read_bytes()
    marker = json.loads((folder / "blocks" / "00001.json").read_text())
    assert marker["crc32"] == manifest["crc32"][1] == zlib.crc32(raw[64 * 32 * 32 * 3 :])
    assert [image[0] for image in marker["images"]] == digests[64:]


def test_the_example_of_an_entry_is_one(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text(_block("yaml"))
    entry = catalogue.datasets((tmp_path,))["mine"]
    assert (entry.form, entry.label_order) == ("images", "2012")
    assert None not in (entry.path, entry.label_file, entry.calibration)
