"""Random weights: the same for a seed, and of a size that no depth changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlubench.networks.caffe import import_caffe, write_random_caffemodel
from mlubench.networks.caffe.weights import read_caffemodel
from tests.networks.caffe import oracle
from tests.networks.caffe.synthetic import layer, network


def test_a_seed_gives_the_same_bytes(shared_data: Path, tmp_path: Path) -> None:
    prototxt = shared_data / "squeezenet_v1.1.prototxt"
    contents = []
    for number, seed in enumerate((1, 1, 2)):
        file = tmp_path / f"{number}.caffemodel"
        write_random_caffemodel(prototxt, file, seed)
        contents.append(file.read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("name", ["MobileNet-v1", "SE-ResNet-50", "DenseNet-121"])
def test_activations_neither_vanish_nor_explode(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    prototxt, caffemodel = shared_data / "prototxt" / f"{name}.prototxt", tmp_path / "weights"
    write_random_caffemodel(prototxt, caffemodel, seed=3)
    model = import_caffe(prototxt, caffemodel)
    size = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    blobs = oracle.run_onnxruntime(model, oracle.image((1, *size)))
    images = [blob for blob in blobs.values() if blob.ndim == 4 and blob.shape[2] > 1]
    deviations = [float(blob.std()) for blob in images]
    assert min(deviations) > 0.05
    assert max(deviations) < 20


def test_every_kind_of_blob_is_drawn(tmp_path: Path) -> None:
    prototxt, file = tmp_path / "net.prototxt", tmp_path / "weights"
    product = "inner_product_param { num_output: 200 transpose: true }"
    prototxt.write_text(
        network(
            layer("BatchNorm", name="bn"),
            layer("PReLU", name="prelu", bottoms=["bn"]),
            layer("InnerProduct", product, "ip", ["prelu"]),
        )
    )
    write_random_caffemodel(prototxt, file, seed=0)
    blobs = read_caffemodel(file)
    mean, variance, factor = blobs["bn"]
    assert np.abs(mean).max() < 70
    assert np.all((variance / 70**2 > 0.5) & (variance / 70**2 < 2))
    assert factor == [1]
    assert blobs["prelu"][0].shape == (4,)
    assert blobs["ip"][0].shape == (252, 200)
    assert blobs["ip"][0].std() == pytest.approx(1 / np.sqrt(252), rel=0.1)
