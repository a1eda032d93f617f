"""The embedded sample, compiled once for all tests: calibrating it takes ten seconds or more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlubench.store import atomic_folder, locked
from tests.support.session import session_folder

_FOLDERS = ("cache", "data")


@pytest.fixture(scope="session")
def compiled_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of artifacts with the sample in the precisions of an evaluation.

    No image that is scored is decoded in it. All processes of tests share it; copy it with
    :func:`copy_compiled`, and leave it as it is.
    """
    base = session_folder(tmp_path_factory)
    folder = base / "compiled-sample"
    with locked(base / "compiled-sample.lock"):
        if not folder.exists():
            with atomic_folder(folder) as new:
                _compile(new)
    return folder


def _compile(folder: Path) -> None:
    from mlubench.devices.engine_host import engine_host
    from mlubench.devices.pool import DevicePool
    from mlubench.evaluate.images import choose_images
    from mlubench.evaluate.options import EvaluateParameters
    from mlubench.images.decoding.decoder import decode_images
    from mlubench.networks.calibration import CalibrationImages
    from mlubench.networks.choose import choose_network
    from mlubench.networks.compile import build_spec, compile_network
    from mlubench.networks.importing import import_network
    from mlubench.runs.folders import Run

    asked = EvaluateParameters(out=folder)
    run = Run(folder)
    network = choose_network(asked)
    images = choose_images(asked, network.order, run.data).calibration
    assert images is not None
    pixels = decode_images(images, network.preprocess, run.decoded, lambda *_: None)
    calibration = CalibrationImages(pixels, network.preprocess)
    imported = import_network(network, run.store)
    with DevicePool(engine_host(asked.engine, asked.conf), asked.devices) as devices:
        for precision in asked.precision:
            spec = build_spec(network, asked, precision)
            places = devices.build_addresses()
            compile_network(
                imported, spec, calibration, devices.host, devices.engine, run.store, places
            )


def copy_compiled(compiled: Path, out: Path) -> Path:
    """Give a folder of artifacts what was compiled; return it."""
    for name in _FOLDERS:
        shutil.copytree(compiled / name, out / name)
    return out
