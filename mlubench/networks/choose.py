"""Which network is meant: from the options to its files, classes and preprocessing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mlubench import catalogue
from mlubench.catalogue.entries import Resize
from mlubench.catalogue.models import ModelEntry, Published
from mlubench.errors import ConfigError
from mlubench.images.datasets.labels import LabelOrder, label_order
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks.fetch.files import FilesToFetch
from mlubench.networks.options import NetworkSource
from mlubench.runs.folders import models_folder

SAMPLE = "sample"

#: A network's scores are compiled alike whatever its classes are called.
_ANY_ORDER = "2012"


@dataclass(frozen=True)
class CaffeFiles:
    """A network as Caffe has it: its text and its weights."""

    prototxt: Path
    caffemodel: Path


@dataclass(frozen=True)
class OnnxFile:
    """A network as ONNX."""

    onnx: Path


@dataclass(frozen=True)
class Network:
    """A network to evaluate.

    Attributes:
        name: of the catalogue, or the file's name without its ending.
        files: what it is imported from; those of ``to_fetch`` may still be absent.
        preprocess: from a decoded image to the network's input.
        means: per channel (B, G, R), subtracted.
        variances: per channel; pixels are divided by the square root.
        order: how it numbers its classes.
        published: accuracies of it that others measured.
        to_fetch: those of its files that come from elsewhere.
    """

    name: str
    files: CaffeFiles | OnnxFile
    preprocess: Preprocess
    means: tuple[float, ...]
    variances: tuple[float, ...]
    order: LabelOrder
    published: tuple[Published, ...] = ()
    to_fetch: FilesToFetch | None = None


def choose_network(asked: NetworkSource) -> Network:
    """Return the network that the options name; options given beside a name replace its own.

    Raises:
        ConfigError: it is not in the catalogue, or a file that is named is not there.
    """
    _check_files(asked)
    if asked.onnx is not None:
        return _network(asked, asked.onnx.stem, OnnxFile(asked.onnx), None)
    if asked.prototxt is not None and asked.caffemodel is not None:
        files = CaffeFiles(asked.prototxt, asked.caffemodel)
        return _network(asked, asked.prototxt.stem, files, None)
    name = asked.model or SAMPLE
    entry = catalogue.entry_named(catalogue.models(asked.conf), name, "--model")
    folder = models_folder(asked.out) / name
    weights = asked.caffemodel or entry.caffemodel.place(folder)
    network = _network(asked, name, CaffeFiles(entry.prototxt.used_place(folder), weights), entry)
    files_of_entry = (entry.prototxt, None if asked.caffemodel else entry.caffemodel)
    lacking = tuple(file for file in files_of_entry if file is not None and file.path is None)
    return replace(network, to_fetch=FilesToFetch(name, lacking, folder) if lacking else None)


def _check_files(asked: NetworkSource) -> None:
    """Check that the files that options name are there, before anything is done with them."""
    for option in ("onnx", "prototxt", "caffemodel"):
        path = getattr(asked, option)
        if path is not None and not path.is_file():
            raise ConfigError(
                "there is no such file",
                where=f"--{option} {path}",
                expected="a file of the network",
                fix="check the path",
            )


def _network(
    asked: NetworkSource, name: str, files: CaffeFiles | OnnxFile, entry: ModelEntry | None
) -> Network:
    """Return a network with what the options say, or else its entry, or else what is usual."""
    defaults = entry or _Usual()
    size = asked.input_size or (entry and entry.input_size)
    order = asked.label_order or (entry and entry.label_order)
    if not (size and order):
        raise ConfigError("a network is named or given by its files", where="--model")
    return Network(
        name=name,
        files=files,
        preprocess=chosen_preprocess(asked, defaults, (size, size)),
        means=asked.means or defaults.means,
        variances=asked.vars or defaults.vars,
        order=label_order(order),
        published=entry.published if entry else (),
    )


class Resizing(Protocol):
    """What says how pictures are resized; None of what it does not say."""

    @property
    def resize(self) -> Resize | None:
        """As :class:`Preprocess` has it."""

    @property
    def resize_size(self) -> int | None:
        """As :class:`Preprocess` has it."""


def chosen_preprocess(asked: Resizing, usual: Resizing, crop: int | tuple[int, int]) -> Preprocess:
    """Return the preprocessing that options name, and the usual where they name none.

    Raises:
        ConfigError: a size is named where nothing is resized, or one that cannot hold the crop.
    """
    resize = asked.resize or usual.resize or "none"
    if resize == "none" and asked.resize_size is not None:
        raise ConfigError(
            "nothing is resized: the network takes pictures as they are (--resize none)",
            where=f"--resize_size {asked.resize_size}",
            expected="--resize short or --resize exact beside it",
            fix="give one of the two, or leave --resize_size out",
        )
    return Preprocess(resize, asked.resize_size or usual.resize_size or 0, crop)


class _Usual:
    """What most of Caffe's ImageNet networks take, where nothing is said."""

    resize: Resize = "short"
    resize_size = 256
    means = (0.0, 0.0, 0.0)
    vars = (1.0, 1.0, 1.0)


def check_classes(classes: int, order: LabelOrder) -> None:
    """Check that an order has as many classes as a network.

    Raises:
        ConfigError: it has not.
    """
    if classes != len(order.class_ids):
        raise ConfigError(
            f"the network gives {classes} scores for an image",
            where="--label_order",
            expected=f"{len(order.class_ids)}, the classes of the label order {order.name}",
            fix="name the order that the network was trained with",
        )


def network_in_any_order(asked: NetworkSource) -> Network:
    """Return the network that the options name; its classes' order matters to nobody yet.

    Raises:
        ConfigError: it is not in the catalogue.
    """
    if is_given_by_files(asked) and asked.label_order is None:
        asked = asked.model_copy(update={"label_order": _ANY_ORDER})
    return choose_network(asked)


def is_given_by_files(asked: NetworkSource) -> bool:
    """Whether the network is in no catalogue."""
    return asked.prototxt is not None or asked.onnx is not None
