"""``mlubench compile``: gen_model, a network compiled to a path of the user's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import one_device
from mlubench.engines.interface import BuildSpec, description_beside
from mlubench.engines.precisions import is_quantised
from mlubench.engines.traits import traits
from mlubench.errors import ConfigError, StoreError
from mlubench.images.datasets.dataset import Dataset
from mlubench.images.decoding.decoder import decode_images
from mlubench.magicmind_sample.files import seed_folder_name
from mlubench.magicmind_sample.options import CompileParameters
from mlubench.networks.calibration import CalibrationImages, calibration_dataset
from mlubench.networks.choose import Network, is_given_by_files, network_in_any_order
from mlubench.networks.compile import Compiled, build_spec, compile_network
from mlubench.networks.compiled_file import DESCRIPTION, OfflineModel, description_path
from mlubench.networks.fetch.download import Downloads
from mlubench.networks.fetch.files import fetch_files
from mlubench.networks.importing import check_label_order, import_network
from mlubench.runs.folders import Run
from mlubench.store import MANIFEST, atomic_folder, atomic_path, sha256_file

Progress = Callable[[int, int], None]


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
