"""Compiled networks at paths of the user's own: what gen_model writes and infer_cpp reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import one_device
from mlubench.engines.interface import BuildSpec, description_beside
from mlubench.engines.precisions import is_quantised
from mlubench.engines.traits import traits
from mlubench.errors import ConfigError, StoreError, in_words
from mlubench.images.datasets.dataset import Dataset
from mlubench.images.decoding.decoder import decode_images
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.magicmind_sample.files import seed_folder_name
from mlubench.networks.calibration import CalibrationImages, calibration_dataset
from mlubench.networks.choose import (
    Network,
    is_given_by_files,
    network_in_any_order,
)
from mlubench.networks.compile import Compiled, build_spec, compile_network
from mlubench.networks.fetch.download import Downloads
from mlubench.networks.fetch.files import fetch_files
from mlubench.networks.importing import check_label_order, import_network
from mlubench.networks.options import CompileParameters
from mlubench.runs.folders import Run
from mlubench.store import (
    MANIFEST,
    atomic_folder,
    atomic_path,
    sha256_file,
    write_json,
)

DESCRIPTION = "compiled.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class OfflineModel:
    """A compiled network at a path of its own, with what it takes to run it on images.

    Attributes:
        path: the engine's one file, or a folder of its files.
        name: of the network.
        engine: the engine's name.
        spec: what it was compiled for.
        preprocess: from a decoded image to its input.
        label_order: how it numbers its classes; None where nobody said.
        simulated: what the engine says where it was a simulated one; else empty.
    """

    path: Path
    name: str
    engine: str
    spec: BuildSpec
    preprocess: Preprocess
    label_order: str | None
    simulated: str = ""

    @property
    def speed_only(self) -> bool:
        """Whether its ranges were made up, so that its answers mean nothing."""
        return self.spec.random_calib_range is not None

    def write(self, description: Path, sha256: str = "") -> None:
        """Write the description of a compiled network.

        Args:
            description: the file.
            sha256: of the network, where it is one file that something else might replace.
        """
        fields = {
            "name": self.name,
            "engine": self.engine,
            "spec": self.spec.to_json(),
            "preprocess": asdict(self.preprocess),
            "label_order": self.label_order,
            "speed_only": self.speed_only,
            "simulated": self.simulated,
            "sha256": sha256,
        }
        write_json(description, fields)


def read_offline_model(path: Path) -> OfflineModel:
    """Return the compiled network at a path.

    Raises:
        ConfigError: it is none.
    """
    where = f"--magicmind_model {path}"
    try:
        fields = json.loads(description_path(path).read_text(encoding="utf-8"))
        model = OfflineModel(
            path=path,
            name=fields["name"],
            engine=fields["engine"],
            spec=BuildSpec.from_json(fields["spec"]),
            preprocess=_preprocess(fields["preprocess"]),
            label_order=fields["label_order"],
            simulated=fields.get("simulated", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"is no compiled network: {in_words(error)}",
            where=where,
            expected="a file or folder that mlubench compile wrote",
            fix="compile the network: mlubench compile --help",
        ) from error
    if path.is_file() and sha256_file(path) != fields.get("sha256"):
        raise ConfigError(
            f"is not the network that {description_path(path).name} describes",
            where=where,
            expected=f"the file that was written with it, SHA-256 {fields.get('sha256')}",
            fix="compile the network again: mlubench compile --help",
        )
    return model


def description_path(path: Path) -> Path:
    """Return the file that describes a compiled network at a path."""
    return description_beside(path) if path.is_file() else path / DESCRIPTION


def compile_offline(asked: CompileParameters, progress: Progress) -> OfflineModel:
    """Compile a network to a path; what eval has compiled alike is taken from the cache.

    Args:
        asked: the options.
        progress: called with what is done and the whole, of fetching and of decoding.

    Raises:
        ConfigError: an option is wrong, or the engine has not got what it asks for.
        DatasetError: the calibration images cannot be used.
        NetworkError: the network cannot be used.
        EngineError: the engine failed.
        StoreError: a folder cannot be written.
    """
    run = Run(asked.out)
    with run.in_use():
        return _compile(asked, run, progress)


def _compile(asked: CompileParameters, run: Run, progress: Progress) -> OfflineModel:
    network = network_in_any_order(asked)
    spec = build_spec(network, asked, asked.precision)
    path = asked.magicmind_model or asked.out / "models" / _default_name(network, spec)
    _check_free(path, asked.engine)
    engine = engine_host(asked.engine, asked.conf)
    with one_device(engine, asked.device_id) as devices:
        devices.check(spec)
        facts, places = devices.engine, devices.build_addresses()
    images = _calibration_images(asked, network, run)
    if network.to_fetch is not None:
        fetch_files(network.to_fetch, Downloads(progress=progress, remark=lambda _: None))
    imported = import_network(network, run.store)
    named = asked.label_order or (None if is_given_by_files(asked) else network.order.name)
    if named is not None:
        check_label_order(imported, network.order)
    calibration = None
    if images is not None:
        pixels = decode_images(images, network.preprocess, run.decoded, progress)
        calibration = CalibrationImages(pixels, network.preprocess)
    compiled = compile_network(imported, spec, calibration, engine, facts, run.store, places)
    model = OfflineModel(
        path,
        network.name,
        asked.engine,
        spec,
        network.preprocess,
        named,
        facts.get("simulated", ""),
    )
    return _copy(compiled, model)


def _default_name(network: Network, spec: BuildSpec) -> str:
    return seed_folder_name(
        f"{network.name}_model", spec.precision, spec.dynamic_shape, spec.batch_size
    )


def _check_free(path: Path, engine: str) -> None:
    """A compiled network is replaced; anything else that lies there is somebody's."""
    if path.exists() and not (
        description_path(path).is_file() and path.is_file() == bool(traits(engine).model_file)
    ):
        raise ConfigError(
            f"is there and is no compiled network of {engine}",
            where=f"--magicmind_model {path}",
            expected="a path that is free, or a compiled network to replace",
            fix="name another path",
        )


def _calibration_images(asked: CompileParameters, network: Network, run: Run) -> Dataset | None:
    """Return the images to calibrate on; None where nothing is calibrated."""
    # A wrong folder or list is told whatever the precision: the sample's scripts name them in
    # every one.
    images = calibration_dataset(asked, network, run.data)
    if not is_quantised(asked.precision) or asked.random_calib_range is not None:
        return None
    if images is None:
        raise ConfigError(
            f"{asked.precision} needs calibration images and has none",
            where="--image_dir",
            expected="a folder of images like those to be classified",
            fix="name one; or, for a network that measures speed only, --random_calib_range",
        )
    return images


def _copy(compiled: Compiled, model: OfflineModel) -> OfflineModel:
    """Copy a compiled network out of the store to its own path."""
    file = traits(model.engine).model_file
    if file:
        with atomic_path(model.path) as temporary:
            _copy_file(compiled.folder / file, temporary)
        model.write(description_beside(model.path), sha256_file(model.path))
        return model
    with atomic_folder(model.path) as temporary:
        for one in sorted(compiled.folder.iterdir()):
            if one.name != MANIFEST:
                _copy_file(one, temporary / one.name)
        model.write(temporary / DESCRIPTION)
    return model


def _copy_file(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise StoreError(f"cannot be copied: {error}", where=str(source)) from error


def _preprocess(fields: dict[str, Any]) -> Preprocess:
    crop = fields["crop"]
    return Preprocess(
        resize=fields["resize"],
        resize_size=fields["resize_size"],
        crop=tuple(crop) if isinstance(crop, list) else crop,
    )
