"""How the simulated SDK rounds, repeated by NumPy from the formulas."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from tests.simulated_sdk_tests.lifecycle import (
    Plan,
    Runner,
    build,
    calibrate,
    calibrated,
    configure,
    normalised,
    parse,
    set_shape,
)
from tests.support.networks import CLASSES, random_images


def _write_product(path: Path, weights: np.ndarray, last: str) -> None:
    """Write a network of 2 x 2 images: one product and one operation behind it."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["data"], ["flat"], "flat"),
            helper.make_node("Gemm", ["flat", "w"], ["fc"], "fc", transB=1),
            helper.make_node(last, ["fc"], ["out"], "out"),
        ],
        "product",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, 2, 2])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, path)


def test_float16_rounds_as_numpy_does(mm: Any, tmp_path: Path) -> None:
    """A product and a sigmoid alone, so that each rounding can be repeated by NumPy."""
    weights = np.random.default_rng(0).standard_normal((CLASSES, 12)).astype(np.float32)
    _write_product(tmp_path / "product.onnx", weights, "Sigmoid")
    plan = Plan((tmp_path / "product.onnx",), side=2, precision="force_float16")
    build(mm, plan, tmp_path / "model")
    images = random_images(4, side=2)
    scores = Runner(mm, tmp_path / "model").run(images)

    def half(array: np.ndarray) -> np.ndarray:
        return array.astype(np.float16).astype(np.float32)

    data = half(normalised(plan, images)).reshape(4, 12)
    product = half(data.astype(np.float64) @ half(weights).T.astype(np.float64))
    expected = half(1 / (1 + np.exp(-product.astype(np.float64))))
    step = np.spacing(expected.astype(np.float16)).astype(np.float32)
    assert (np.abs(scores - expected) <= step).all()
    assert (scores == expected).mean() > 0.9
    assert (half(scores) == scores).all()


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_quantisation_is_the_formula(
    bits: int, per_axis: bool, asymmetric: bool, mm: Any, tmp_path: Path
) -> None:
    """A product alone: scale, rounding and saturation repeated by NumPy."""
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((CLASSES, 12)) * rng.uniform(0.1, 3, (CLASSES, 1))).astype("f4")
    _write_product(tmp_path / "product.onnx", weights, "Identity")
    choices = {
        "weight_quant_granularity": "per_axis" if per_axis else "per_tensor",
        "activation_quant_algo": "asymmetric" if asymmetric else "symmetric",
    }
    plan = Plan(
        (tmp_path / "product.onnx",),
        side=2,
        precision=f"qint{bits}_mixed_float32",
        more=[{"precision_config": choices}],
    )
    # Calibrated on dark images only, so that bright ones saturate.
    plan = calibrated(plan, random_images(8, side=2, seed=3) // 2)
    build(mm, plan, tmp_path / "model")
    images = random_images(4, side=2)
    scores = Runner(mm, tmp_path / "model").run(images)

    top = 2 ** (bits - 1)
    seen = np.concatenate([sample.ravel() for sample in plan.samples]).astype(np.float64)
    if asymmetric:
        low, high = min(seen.min(), 0), max(seen.max(), 0)
        scale = (high - low) / (2 * top - 1)
        zero = np.round(-top - low / scale)
    else:
        scale, zero = np.abs(seen).max() / (top - 1), 0
    data = normalised(plan, images).reshape(4, 12).astype(np.float64)
    data = (np.clip(np.round(data / scale) + zero, -top, top - 1) - zero) * scale
    bound = np.abs(weights).max(axis=1 if per_axis else None, keepdims=True) / (top - 1)
    expected = data @ (np.round(weights / bound) * bound).T
    # A value between two integers may fall to either: one step of one activation.
    np.testing.assert_allclose(scores, expected, atol=1.1 * scale * np.abs(weights).max())
    assert np.median(np.abs(scores - expected)) < 1e-4
    exact = normalised(plan, images).reshape(4, 12) @ weights.T
    assert np.abs(scores - exact).max() > 1e-5


def test_eqnm_takes_the_bound_with_the_least_error(mm: Any, small: Plan) -> None:
    network = parse(mm, small)
    set_shape(mm, network, small)
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(small.shape).astype(np.float32) for _ in range(60)]
    samples[0][0, 0, 0, 0] = 6.0
    plan = dataclasses.replace(
        small,
        precision="qint8_mixed_float32",
        algorithm="EQNM_ALGORITHM",
        bn=False,
        samples=samples,
    )
    calibrate(mm, network, configure(mm, plan), plan)
    low, high = network._calibrated[1]["data"]

    values = np.concatenate([sample.ravel() for sample in samples]).astype(np.float64)

    def error(bound: float) -> float:
        step = bound / 127
        rounded = np.clip(np.round(values / step), -127, 127) * step
        return float(((values - rounded) ** 2).sum())

    assert -low == high < 6.0
    least = min(error(bound) for bound in np.linspace(2, 6, 81))
    assert error(high) < 1.02 * least < error(6.0)
