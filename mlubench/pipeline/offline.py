"""Compiled networks in folders of the user's own: what gen_model writes and infer_cpp reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlubench.download import Downloads
from mlubench.engines.interface import BuildSpec
from mlubench.engines.precisions import is_quantised
from mlubench.errors import ConfigError, StoreError, in_words
from mlubench.images.dataset import Dataset, calibration_split
from mlubench.images.digits import write_digits
from mlubench.images.listed import calibration_images
from mlubench.images.preprocess import Preprocess
from mlubench.pipeline.compile import CalibrationImages, Compiled, build_spec, compile_network
from mlubench.pipeline.devices import addresses
from mlubench.pipeline.fetch import fetch_files
from mlubench.pipeline.images import decode_images
from mlubench.pipeline.network import (
    SAMPLE,
    Network,
    check_label_order,
    choose_network,
    import_network,
)
from mlubench.pipeline.one_device import device_name, one_device
from mlubench.pipeline.parameters import CompileParameters
from mlubench.pipeline.run import Run
from mlubench.reports.seed_files import seed_folder_name
from mlubench.store import MANIFEST, atomic_folder, locked, write_json

_DESCRIPTION = "compiled.json"
#: A network's scores are compiled alike whatever its classes are called.
_ANY_ORDER = "2012"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class OfflineModel:
    """A compiled network in a folder of its own, with what it takes to run it on images.

    Attributes:
        folder: the engine's files and this description.
        name: of the network.
        engine: the engine's name.
        spec: what it was compiled for.
        preprocess: from a decoded image to its input.
        label_order: how it numbers its classes; None where nobody said.
    """

    folder: Path
    name: str
    engine: str
    spec: BuildSpec
    preprocess: Preprocess
    label_order: str | None

    @property
    def speed_only(self) -> bool:
        """Whether its ranges were made up, so that its answers mean nothing."""
        return self.spec.random_calib_range is not None

    def write(self) -> None:
        """Write the description into the folder."""
        fields = {
            "name": self.name,
            "engine": self.engine,
            "spec": self.spec.to_json(),
            "preprocess": asdict(self.preprocess),
            "label_order": self.label_order,
            "speed_only": self.speed_only,
        }
        write_json(self.folder / _DESCRIPTION, fields)


def read_offline_model(folder: Path) -> OfflineModel:
    """Return the compiled network in a folder.

    Raises:
        ConfigError: it is none.
    """
    try:
        fields = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        return OfflineModel(
            folder=folder,
            name=fields["name"],
            engine=fields["engine"],
            spec=BuildSpec.from_json(fields["spec"]),
            preprocess=_preprocess(fields["preprocess"]),
            label_order=fields["label_order"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"is no compiled network: {in_words(error)}",
            where=f"--magicmind_model {folder}",
            expected="a folder that mlubench compile wrote",
            fix="compile the network: mlubench compile --help",
        ) from error


def compile_offline(asked: CompileParameters, progress: Progress) -> OfflineModel:
    """Compile a network into a folder; what eval has compiled alike is taken from the cache.

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
    with locked(run.cache_lock, shared=True):
        return _compile(asked, run, progress)


def _compile(asked: CompileParameters, run: Run, progress: Progress) -> OfflineModel:
    network = _network(asked)
    spec = build_spec(network, asked, asked.precision)
    folder = asked.magicmind_model or asked.out / "models" / _default_name(network, spec)
    _check_free(folder)
    device = device_name(asked.engine, asked.device_id)
    with one_device(asked.engine, asked.device_id) as devices:
        devices.check(spec)
        facts = devices.engine
    images = _calibration_images(asked, network, run)
    if network.to_fetch is not None:
        fetch_files(network.to_fetch, Downloads(progress=progress, remark=lambda _: None))
    imported = import_network(network, run.store)
    named = asked.label_order or (None if _by_files(asked) else network.order.name)
    if named is not None:
        check_label_order(imported, network.order)
    calibration = None
    if images is not None:
        pixels = decode_images(images, network.preprocess, run.decoded, progress)
        calibration = CalibrationImages(pixels, network.preprocess)
    compiled = compile_network(
        imported, spec, calibration, asked.engine, facts, run.store, addresses([device])[0]
    )
    return _copy(compiled, folder, network, spec, asked.engine, named)


def _network(asked: CompileParameters) -> Network:
    if _by_files(asked) and asked.label_order is None:
        asked = asked.model_copy(update={"label_order": _ANY_ORDER})
    return choose_network(asked)


def _by_files(asked: CompileParameters) -> bool:
    """Whether the network is in no catalogue."""
    return asked.prototxt is not None or asked.onnx is not None


def _default_name(network: Network, spec: BuildSpec) -> str:
    return seed_folder_name(
        f"{network.name}_model", spec.precision, spec.dynamic_shape, spec.batch_size
    )


def _check_free(folder: Path) -> None:
    """A compiled network is replaced; anything else that lies there is somebody's."""
    if folder.exists() and not (folder / _DESCRIPTION).is_file():
        raise ConfigError(
            "is there and is no compiled network",
            where=f"--magicmind_model {folder}",
            expected="a path that is free, or a compiled network to replace",
            fix="name another path",
        )


def _calibration_images(asked: CompileParameters, network: Network, run: Run) -> Dataset | None:
    """Return the images to calibrate on; the sample brings its own."""
    folder = asked.calibration_dir
    if folder is not None:
        # A wrong folder or list is told whatever the precision: the sample's scripts name
        # them in every one.
        named = calibration_images(folder, asked.file_list, run.data)
    if not is_quantised(asked.precision) or asked.random_calib_range is not None:
        return None
    if folder is None and network.name == SAMPLE and not _by_files(asked):
        named = calibration_images(write_digits(run.data / "digits").train, None, run.data)
    elif folder is None:
        raise ConfigError(
            f"{asked.precision} needs calibration images and has none",
            where="--image_dir",
            expected="a folder of images like those to be classified",
            fix="name one; or, for a network that measures speed only, --random_calib_range",
        )
    return _at_most(named, asked.calibration_num)


def _at_most(images: Dataset, count: int) -> Dataset:
    return calibration_split(images, count)[0] if count < len(images.images) else images


def _copy(
    compiled: Compiled,
    folder: Path,
    network: Network,
    spec: BuildSpec,
    engine: str,
    label_order: str | None,
) -> OfflineModel:
    with atomic_folder(folder) as temporary:
        try:
            for file in sorted(compiled.folder.iterdir()):
                if file.name != MANIFEST:
                    shutil.copyfile(file, temporary / file.name)
        except OSError as error:
            raise StoreError(f"cannot be copied: {error}", where=str(compiled.folder)) from error
        fields = (network.name, engine, spec, network.preprocess, label_order)
        OfflineModel(temporary, *fields).write()
    return OfflineModel(folder, *fields)


def _preprocess(fields: dict[str, Any]) -> Preprocess:
    crop = fields["crop"]
    return Preprocess(
        resize=fields["resize"],
        resize_size=fields["resize_size"],
        crop=tuple(crop) if isinstance(crop, list) else crop,
    )
