"""Which network is evaluated, its files, and its import as ONNX."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mlubench import catalogue
from mlubench.catalogue.entries import Resize
from mlubench.catalogue.models import ModelEntry, Published
from mlubench.engines.interface import NetworkFiles
from mlubench.errors import ConfigError, NetworkError
from mlubench.images.datasets.labels import LabelOrder, label_order
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks import caffe
from mlubench.networks.fetch.files import FilesToFetch
from mlubench.networks.onnx.file import classes_of, read_checked, write_onnx
from mlubench.networks.options import NetworkSource
from mlubench.runs.folders import models_folder
from mlubench.store import Store, sha256_file, source_digest, write_atomic

SAMPLE = "sample"
ONNX = "network.onnx"


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


@dataclass(frozen=True)
class ImportedNetwork:
    """A network's files, ONNX among them, and the SHA-256 of what that was made from.

    Of a network that was given as ONNX both digests are that file's.
    """

    files: NetworkFiles
    prototxt_sha256: str
    caffemodel_sha256: str

    def identity(self) -> dict[str, str]:
        """Return the digests of all that an engine may read, by what it is."""
        return {
            "onnx": self._onnx_sha256,
            "prototxt": self.prototxt_sha256,
            "caffemodel": self.caffemodel_sha256,
        }

    @functools.cached_property
    def _onnx_sha256(self) -> str:
        """The digest of the ONNX file, which lies in the store: read once for all precisions."""
        return sha256_file(self.files.onnx)

    def check_unchanged(self) -> None:
        """Check that Caffe's files, which lie with the user, are still those of the digests.

        Raises:
            NetworkError: one is not.
        """
        for path, digest in (
            (self.files.prototxt, self.prototxt_sha256),
            (self.files.caffemodel, self.caffemodel_sha256),
        ):
            if path is not None and sha256_file(path) != digest:
                raise NetworkError(
                    "was changed while it was being read",
                    where=str(path),
                    fix="run again once the file stays as it is",
                )


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


def import_network(network: Network, store: Store) -> ImportedNetwork:
    """Return the network as ONNX, imported and checked unless the store has it.

    Raises:
        NetworkError: a file is wrong; names file and layer.
        StoreError: the store cannot be written.
    """
    if isinstance(network.files, OnnxFile):
        return _keep_onnx(network.files.onnx, network.preprocess.crop_shape, store)
    return _import_caffe(network.files, store)


def check_label_order(imported: ImportedNetwork, order: LabelOrder) -> None:
    """Check that an order has as many classes as the network, where its file says how many.

    Raises:
        ConfigError: it has not.
    """
    classes = classes_of(imported.files.onnx)
    if classes is not None:
        check_classes(classes, order)


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


def imported_before(prototxt: str, caffemodel: str, store: Store) -> Path | None:
    """Return the ONNX file of a network that was imported, if the store still has it.

    Args:
        prototxt: SHA-256 of Caffe's text; of an ONNX network, of its file.
        caffemodel: of the weights; of an ONNX network the same.
        store: where imported networks are kept.
    """
    parts = {"onnx": prototxt} if prototxt == caffemodel else _import_parts(prototxt, caffemodel)
    path = store.path("onnx", parts) / ONNX
    return path if path.is_file() else None


def _import_parts(prototxt: str, caffemodel: str) -> dict[str, str]:
    return {
        "prototxt": prototxt,
        "caffemodel": caffemodel,
        "importer": source_digest(Path(caffe.__file__).parent),
    }


def _import_caffe(files: CaffeFiles, store: Store) -> ImportedNetwork:
    prototxt, caffemodel = sha256_file(files.prototxt), sha256_file(files.caffemodel)
    parts = _import_parts(prototxt, caffemodel)
    imported = ImportedNetwork(
        NetworkFiles(store.path("onnx", parts) / ONNX, files.prototxt, files.caffemodel),
        prototxt,
        caffemodel,
    )

    def build(folder: Path) -> None:
        with tempfile.TemporaryFile(dir=folder) as weights:
            model = caffe.import_caffe(files.prototxt, files.caffemodel, weights)
            weights.seek(0)
            write_onnx(folder / ONNX, model, weights)
        imported.check_unchanged()

    store.get("onnx", parts, build)
    return imported


def _keep_onnx(file: Path, size: tuple[int, int], store: Store) -> ImportedNetwork:
    """Return a copy of an ONNX file that is known to be usable, the same to the byte."""
    data = read_checked(file, size)
    digest = hashlib.sha256(data).hexdigest()
    place = store.get("onnx", {"onnx": digest}, lambda folder: write_atomic(folder / ONNX, data))
    return ImportedNetwork(NetworkFiles(place / ONNX), digest, digest)
