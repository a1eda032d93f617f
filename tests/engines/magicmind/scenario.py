"""One whole use of the engine, as a worker makes it: device, build, load, run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from mlubench.engines.interface import BuildSpec, Calibration, NetworkFiles, load_engine
from mlubench.engines.measuring import MeasureSetup
from tests.networks.caffe import synthetic
from tests.support.networks import CLASSES, SIDE, random_images, write_small_network

SPEC = BuildSpec(
    precision="force_float32",
    batch_size=4,
    dynamic_shape=False,
    input_size=(SIDE, SIDE),
    means=(104.0, 117.0, 123.0),
    variances=(3460.0, 3400.0, 3300.0),
)
#: Not the first one, which an SDK may take where none was named.
DEVICE = "mlu:1"
IMAGES = 9
#: How many batches :func:`every_call` infers before it measures.
BATCHES = 2 * -(-IMAGES // SPEC.batch_size)
INT8 = dataclasses.replace(SPEC, precision="qint8_mixed_float16")


def use(
    network: NetworkFiles,
    spec: BuildSpec,
    folder: Path,
    images: np.ndarray,
    calibration: int = 10,
    device: str = "mlu:0",
) -> tuple[np.ndarray, Any]:
    """Return the scores, float32 [N, classes], and the session that gave them."""
    engine = load_engine("magicmind")
    engine.use_device(device)
    engine.check(spec)
    folder.mkdir(parents=True, exist_ok=True)
    engine.build(network, spec, Calibration(random_images(calibration, seed=2)), folder)
    session = engine.load(folder)
    scores = np.full((len(images), session.classes), np.nan, np.float32)

    def consume(first: int, batch: np.ndarray) -> None:
        scores[first : first + len(batch)] = batch

    session.run(images, consume)
    return scores, session


def measure(model: Path, images: np.ndarray, plugin: Path) -> None:
    """Measure a batch of a compiled network, and dump its tensors."""
    engine = load_engine("magicmind")
    engine.use_device(DEVICE)
    measured = engine.measure(model, MeasureSetup(plugin=(str(plugin),)))
    measured.bind_thread()
    lanes = measured.lanes(1)
    lane = lanes.next_free()
    lane.copy_in([images])
    lane.start()
    assert lanes.next_free() is lane
    (scores,) = lane.copy_out()
    assert scores.shape == (len(images), CLASSES)
    measured.close()
    folder = model / "dumped"
    folder.mkdir()
    assert engine.dump(model, [images], folder)


def write_networks(folder: Path) -> None:
    """Write what :func:`every_call` builds: a network as ONNX and as Caffe, and a plug-in."""
    write_small_network(folder / "network.onnx")
    scores = f"inner_product_param {{ num_output: {CLASSES} }}"
    layers = (
        synthetic.layer("InnerProduct", scores, "fc"),
        synthetic.layer("Softmax", "", "out", ("fc",)),
    )
    synthetic.write(folder, *layers, shape=(1, 3, SIDE, SIDE))
    (folder / "plugin.so").write_bytes(b"")


def every_call(networks: Path, folder: Path) -> None:
    """Make every call of the SDK that the engine has.

    Args:
        networks: what :func:`write_networks` wrote.
        folder: gets what is built.
    """
    onnx, images = networks / "network.onnx", random_images(IMAGES)
    spec = dataclasses.replace(
        INT8, plugin=(str(networks / "plugin.so"),), rpc_server="127.0.0.1:9009", dynamic_shape=True
    )
    use(NetworkFiles(onnx), spec, folder / "onnx", images, device=DEVICE)
    caffe = NetworkFiles(onnx, networks / "net.prototxt", networks / "net.caffemodel")
    use(caffe, SPEC, folder / "caffe", images, device=DEVICE)
    measure(folder / "caffe", images[: SPEC.batch_size], networks / "plugin.so")
