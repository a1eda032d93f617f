"""Which network is evaluated, its files, and its import to ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlubench import caffe, catalogue
from mlubench.catalogue.entries import Resize
from mlubench.errors import ConfigError
from mlubench.images.digits import DIGIT_NAMES
from mlubench.images.labels import LabelOrder, imagenet_order, simple_order
from mlubench.images.preprocess import Preprocess
from mlubench.pipeline.parameters import NetworkParameters
from mlubench.store import Store, sha256_file, source_digest, write_atomic

SAMPLE = "sample"
ONNX = "network.onnx"


@dataclass(frozen=True)
class Network:
    """A network to evaluate.

    Attributes:
        name: of the catalogue, or the prototxt's file name without its ending.
        prototxt: Caffe's text of it.
        caffemodel: its weights.
        preprocess: from a decoded image to the network's input.
        means: per channel (B, G, R), subtracted.
        variances: per channel; pixels are divided by the square root.
        order: how it numbers its classes.
    """

    name: str
    prototxt: Path
    caffemodel: Path
    preprocess: Preprocess
    means: tuple[float, ...]
    variances: tuple[float, ...]
    order: LabelOrder


@dataclass(frozen=True)
class ImportedNetwork:
    """A network's ONNX file and what it was made from (SHA-256, hexadecimal)."""

    onnx: Path
    prototxt_sha256: str
    caffemodel_sha256: str


def label_order(name: str) -> LabelOrder:
    """Return the label order of that name: ``2012``, ``2015`` or ``digits``."""
    if name == "digits":
        return simple_order(name, DIGIT_NAMES)
    return imagenet_order(name)  # type: ignore[arg-type]  # the parameters allow no other


def choose_network(asked: NetworkParameters) -> Network:
    """Return the network that the options name; options given beside a name replace its own.

    Raises:
        ConfigError: it is not in the catalogue.
    """
    entry = None
    if asked.prototxt is None:
        name = asked.model or SAMPLE
        entry = catalogue.entry_named(catalogue.models(asked.conf), name, "--model")
    else:
        name = asked.prototxt.stem
    defaults = entry or _Usual
    prototxt = asked.prototxt or (entry and entry.prototxt)
    caffemodel = asked.caffemodel or (entry and entry.caffemodel)
    size = asked.input_size or (entry and entry.input_size)
    order = asked.label_order or (entry and entry.label_order)
    if not (prototxt and caffemodel and size and order):
        raise ConfigError("a network is named or given by its files", where="--model")
    return Network(
        name=name,
        prototxt=prototxt,
        caffemodel=caffemodel,
        preprocess=Preprocess(
            resize=asked.resize or defaults.resize,
            resize_size=asked.resize_size or defaults.resize_size,
            crop=(size, size),
        ),
        means=asked.means or defaults.means,
        variances=asked.vars or defaults.vars,
        order=label_order(order),
    )


class _Usual:
    """What most of Caffe's ImageNet networks take, where nothing is said."""

    resize: Resize = "short"
    resize_size = 256
    means = (0.0, 0.0, 0.0)
    vars = (1.0, 1.0, 1.0)


def import_network(network: Network, store: Store) -> ImportedNetwork:
    """Return the network as ONNX, imported unless the store has it.

    Raises:
        NetworkError: a file is wrong; names file and layer.
        StoreError: the store cannot be written.
    """
    prototxt, caffemodel = sha256_file(network.prototxt), sha256_file(network.caffemodel)
    parts = {
        "prototxt": prototxt,
        "caffemodel": caffemodel,
        "importer": source_digest(Path(caffe.__file__).parent),
    }

    def build(folder: Path) -> None:
        model = caffe.import_caffe(network.prototxt, network.caffemodel)
        write_atomic(folder / ONNX, model.SerializeToString(deterministic=True))

    return ImportedNetwork(store.get("onnx", parts, build) / ONNX, prototxt, caffemodel)
