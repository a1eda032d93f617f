"""Eltwise and Axpy against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.networks.caffe.synthetic import assert_same, layer, refusal, run

TERMS = [
    layer("Power", "power_param { scale: 0.5 shift: 3 }", "b"),
    layer("TanH", name="c"),
]
BOTTOMS = ["data", "b", "c"]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(
    ("operation", "function"), [("PROD", np.multiply), ("SUM", np.add), ("MAX", np.maximum)]
)
def test_eltwise(tmp_path: Path, operation: str, function: np.ufunc, count: int) -> None:
    text = layer("Eltwise", f"eltwise_param {{ operation: {operation} }}", bottoms=BOTTOMS[:count])
    result = run(tmp_path, *TERMS, text)
    expected = function.reduce(
        [{"data": result.data, **result.blobs}[name] for name in BOTTOMS[:count]]
    )
    assert_same(result.blobs["out"], expected)


def test_eltwise_coefficients(tmp_path: Path) -> None:
    text = layer("Eltwise", "eltwise_param { coeff: [1, -1, 0.25] }", bottoms=BOTTOMS)
    result = run(tmp_path, *TERMS, text)
    expected = result.data - result.blobs["b"] + 0.25 * result.blobs["c"]
    assert_same(result.blobs["out"], expected)


@pytest.mark.parametrize("rank", [2, 4])
def test_axpy_is_the_authors(tmp_path: Path, rank: int) -> None:
    """Scale times x plus y, where OpenCV computes scale times y plus x."""
    scale = [layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", "scale")]
    if rank == 2:
        scale.append(
            layer("Reshape", "reshape_param { shape { dim: 0 dim: 0 } }", "flat", ["scale"])
        )
    bottoms = ["flat" if rank == 2 else "scale", "b", "c"]
    result = run(tmp_path, *scale, *TERMS, layer("Axpy", bottoms=bottoms))
    factors = result.data.mean((2, 3), keepdims=True)
    assert_same(result.blobs["out"], factors * result.blobs["b"] + result.blobs["c"])


def test_wrong_shapes_and_coefficients(tmp_path: Path) -> None:
    pool = layer("Pooling", "pooling_param { kernel_size: 2 }", "pool")
    message = refusal(tmp_path, pool, layer("Eltwise", bottoms=["data", "pool"]))
    assert "[N, 4, 7, 9] and [N, 4, 6, 8]" in message
    assert "[N, 4, 7, 9]" in refusal(tmp_path, layer("Axpy", bottoms=["data"] * 3))
    text = layer("Eltwise", "eltwise_param { coeff: 2 }", bottoms=["data", "data"])
    assert "1 coeff for 2 bottoms" in refusal(tmp_path, text)
    text = layer("Eltwise", "eltwise_param { operation: MAX coeff: [1, 1] }", bottoms=["data"] * 2)
    assert "coefficients for a SUM only" in refusal(tmp_path, text)
    assert "1 bottoms" in refusal(tmp_path, layer("Eltwise"))
