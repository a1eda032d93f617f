"""A network imported to ONNX, once for all precisions."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlubench.engines.interface import NetworkFiles
from mlubench.errors import NetworkError
from mlubench.images.datasets.labels import LabelOrder
from mlubench.networks import caffe, onnx
from mlubench.networks.choose import CaffeFiles, Network, OnnxFile, check_classes
from mlubench.networks.onnx.file import classes_of, read_checked, write_onnx
from mlubench.store import Store, sha256_file, source_digest, write_atomic

ONNX = "network.onnx"


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
        "importer": source_digest(Path(caffe.__file__).parent, Path(onnx.__file__).parent),
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
