"""A compiled network over images, into the seed's text files: infer_cpp."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlubench.devices.engine_host import engine_host, require_engine
from mlubench.devices.pool import Job, one_device
from mlubench.devices.shards import Shard, cut
from mlubench.errors import ConfigError, in_words
from mlubench.images.datasets.dataset import Dataset, true_labels
from mlubench.images.datasets.forms import LabelList, lone_option, read_images, read_told
from mlubench.images.datasets.labels import LabelOrder, label_order, read_label_list, simple_order
from mlubench.images.decoding.cache import DecodedImages, ImageRecord
from mlubench.images.decoding.decoder import decode_images
from mlubench.magicmind_sample.files import Text, answer_texts, label_text, write_text
from mlubench.magicmind_sample.options import InferParameters
from mlubench.networks.choose import chosen_preprocess
from mlubench.networks.compiled_file import OfflineModel, read_offline_model
from mlubench.runs.folders import Run
from mlubench.store import atomic_path

#: The options that name a result, and the file that it is in a folder of results.
_FILES = {
    "result_file": "infer_result.txt",
    "result_label_file": "eval_labels.txt",
    "result_top1_file": "eval_result_1.txt",
    "result_top5_file": "eval_result_5.txt",
}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Classified:
    """What was written.

    Attributes:
        files: the result files, by the option that names them.
        images: how many images were classified.
        corrupt: those that could not be decoded; no file speaks of them.
        remarks: what is odd about the images and their list, a sentence each.
        executed_precision: the arithmetic that the device used.
    """

    files: Mapping[str, Path]
    images: int
    corrupt: Sequence[ImageRecord]
    remarks: Sequence[str]
    executed_precision: str


@dataclass(frozen=True)
class _Pictures:
    """The images to run, and their labels as the network numbers them where these are known."""

    dataset: Dataset
    labels: npt.NDArray[np.int16] | None


def classify_folder(asked: InferParameters, progress: Progress) -> Classified:
    """Run a compiled network over images and write the seed's text files.

    Args:
        asked: the options.
        progress: called with (images done, images in all).

    Raises:
        ConfigError: an option is wrong, or does not fit the compiled network.
        DatasetError: images or labels cannot be used.
        DeviceError: the engine failed.
        StoreError: a result cannot be written.
    """
    run = Run(asked.out)
    with run.in_use():
        return _classify(asked, run, progress)


def _classify(asked: InferParameters, run: Run, progress: Progress) -> Classified:
    model = read_offline_model(asked.magicmind_model)
    _check(asked, model)
    require_engine(engine_host(model.engine, asked.conf))
    preprocess = chosen_preprocess(asked, model.preprocess, model.preprocess.crop)
    pictures = _pictures(asked, model, run.data)
    files = _result_files(asked, model, labelled=pictures.labels is not None)
    decoded = decode_images(pictures.dataset, preprocess, run.decoded, lambda *_: None)
    top_index, classes, executed = _top(asked, model, decoded, progress)
    sound = np.setdiff1d(np.arange(len(top_index)), decoded.corrupt)
    names = [pictures.dataset.images[place].name for place in sound]
    texts: dict[str, Text] = {
        **answer_texts(names, top_index[sound], _class_names(asked, model, classes)),
    }
    if pictures.labels is not None:
        texts["eval_labels.txt"] = label_text(pictures.labels[sound])
    for option, path in files.items():
        with atomic_path(path) as temporary:
            write_text(temporary, texts[_FILES[option]])
    corrupt = [decoded.records[place] for place in decoded.corrupt]
    return Classified(files, len(sound), corrupt, pictures.dataset.remarks(), executed)


def _check(asked: InferParameters, model: OfflineModel) -> None:
    if model.speed_only:
        raise ConfigError(
            "was compiled with --random_calib_range: it measures speed, its answers mean nothing",
            where=f"--magicmind_model {model.path}",
            fix="compile it with calibration images",
        )
    batch = asked.batch_size or model.spec.batch_size
    if not model.spec.dynamic_shape and batch != model.spec.batch_size:
        raise ConfigError(
            f"the network was compiled for batches of {model.spec.batch_size}",
            where=f"--batch_size {batch}",
            expected=str(model.spec.batch_size),
            fix="compile it with --dynamic_shape true, or leave --batch_size out",
        )
    low, high = model.spec.dim_range or (batch, batch)
    if not low <= batch <= high:
        raise ConfigError(
            f"the network was compiled for batches of {low} to {high}",
            where=f"--batch_size {batch}",
            expected=f"{low} to {high}",
        )


def _result_files(
    asked: InferParameters, model: OfflineModel, *, labelled: bool
) -> dict[str, Path]:
    """Return the files that options name; where none does, all of them in a folder."""
    named = {option: path for option in _FILES if (path := getattr(asked, option)) is not None}
    if len({path.resolve() for path in named.values()}) < len(named):
        raise ConfigError(
            "two results would be written to one file",
            where=", ".join(f"--{option}" for option in named),
            expected="a file for each",
        )
    if "result_label_file" in named and not labelled:
        raise ConfigError(
            "there are no labels to write",
            where="--result_label_file",
            expected="--label_file beside it; or images in folders or of names that tell their "
            "classes, and a network of ImageNet's that was compiled with --label_order",
            fix="name the label list, or leave --result_label_file out",
        )
    if not named:
        simulated = "-simulated" if model.simulated else ""
        folder = asked.out / "output" / f"{asked.magicmind_model.resolve().name}{simulated}"
        named = {option: folder / name for option, name in _FILES.items()}
        if not labelled:
            del named["result_label_file"]
    return named


def _pictures(asked: InferParameters, model: OfflineModel, data: Path) -> _Pictures:
    """Return the images and, where a list or their form tells them, their true classes."""
    if asked.label_file is None:
        if asked.label_file_order is not None:
            raise lone_option("label_file_order", "label_file", asked.image_dir, data)
        own = label_order(model.label_order) if model.label_order else None
        dataset = read_told(asked.image_dir, data=data)
        labelled = own is not None and all(image.class_id in own for image in dataset.images)
    else:
        listed, own = _orders(asked, asked.label_file, model)
        labels = LabelList(asked.label_file, listed)
        name = asked.image_dir.resolve().name
        dataset = read_images(asked.image_dir, labels, name=name, data=data)
        labelled = True
    if asked.image_num is not None:
        dataset = dataset.first(asked.image_num)
    return _Pictures(dataset, true_labels(dataset, own) if own and labelled else None)


def _orders(
    asked: InferParameters, label_file: Path, model: OfflineModel
) -> tuple[LabelOrder, LabelOrder]:
    """Return the orders of the label list and of the network.

    Where nobody said how the network numbers its classes, it is taken to number them as the list
    does: the classes are then mere numbers.
    """
    if model.label_order is not None:
        own = label_order(model.label_order)
        return label_order(asked.label_file_order) if asked.label_file_order else own, own
    if asked.label_file_order is not None:
        raise ConfigError(
            "nobody said how the network numbers its classes",
            where="--label_file_order",
            fix="compile the network with --label_order",
        )
    highest = max((label for _, label in read_label_list(label_file)), default=0)
    numbers = simple_order("of the list", [str(label) for label in range(highest + 1)])
    return numbers, numbers


def _top(
    asked: InferParameters, model: OfflineModel, decoded: DecodedImages, progress: Progress
) -> tuple[npt.NDArray[np.int32], int, str]:
    """Return the best classes of each image, how many classes there are, and the arithmetic."""
    total = decoded.shape[0]
    batch = asked.batch_size or model.spec.batch_size
    found: dict[int, npt.NDArray[np.int32]] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        one_device(engine_host(model.engine, asked.conf), asked.device_id) as devices,
    ):

        def request(shard: Shard, _: str) -> dict[str, Any]:
            return {
                "do": "run",
                "pixels": str(decoded.path),
                "shape": list(decoded.shape),
                "first": shard.first,
                "images": shard.images,
                "out": str(Path(scratch) / f"{shard.index}.npz"),
            }

        def keep(shard: Shard, *_: object) -> None:
            with np.load(Path(scratch) / f"{shard.index}.npz", allow_pickle=False) as arrays:
                found[shard.index] = arrays["top_index"]

        loaded = devices.load(model.path, batch)
        job = Job(request, keep, lambda done: progress(done, total))
        devices.run(cut(total, batch, None, 1), job)
    top_index = np.concatenate([found[index] for index in sorted(found)])
    return top_index, loaded.classes, loaded.executed_precision


def _class_names(asked: InferParameters, model: OfflineModel, classes: int) -> Sequence[str]:
    """Return the names of the network's classes; numbers where nobody gave any."""
    if asked.name_file is not None:
        return _read_names(asked.name_file, classes)
    order: LabelOrder | None = label_order(model.label_order) if model.label_order else None
    if order is None or len(order.names) != classes:
        return [str(label) for label in range(classes)]
    return order.names


def _read_names(path: Path, classes: int) -> Sequence[str]:
    """Read a file of class names: one on each line, its number before it or not."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read: {in_words(error)}",
            where=f"--name_file {path}",
            expected="a text file in UTF-8, a name on each line",
        ) from error
    names = []
    for label, line in enumerate(filter(str.strip, lines)):
        number, _, name = line.strip().partition(" ")
        names.append(name.strip() if number.rstrip(":,") == str(label) and name else line.strip())
    if len(names) != classes:
        raise ConfigError(
            f"has {len(names)} names",
            where=f"--name_file {path}",
            expected=f"{classes}, a line for each class of the network",
        )
    return names
