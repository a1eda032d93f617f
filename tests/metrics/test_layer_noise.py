"""Signal-to-noise ratios, from sums over many outputs and from all of them at once."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlubench.metrics.layer_noise import layer_noises, rank_by_added_noise, snr_db
from mlubench.worker.noise import NoiseSums


def test_ratio_of_a_stream_is_that_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 3, (20, 4, 5, 5)).astype(np.float32)
    candidate = reference + rng.normal(0, 0.03, reference.shape).astype(np.float32)
    sums = NoiseSums()
    for before, after in zip(reference, candidate, strict=True):
        sums.add("conv", before, after)
        sums.add("same", before, before)
    (name, signal, noise, count), (_, _, nothing, _) = sums.answer()["layers"]
    wide = reference.astype(np.float64)
    expected = 20 * np.log10(np.linalg.norm(wide) / np.linalg.norm(candidate - wide))
    assert (name, count, nothing) == ("conv", reference.size, 0.0)
    assert snr_db(signal, noise) == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx(40, abs=0.3)  # a hundredth of the amplitude


def test_ends() -> None:
    assert snr_db(1.0, 0.0) == snr_db(0.0, 0.0) == math.inf
    assert snr_db(0.0, 1.0) == -math.inf
    for wrong in ((-1.0, 1.0), (1.0, math.nan), (math.inf, 1.0)):
        with pytest.raises(ValueError, match="sums of squares"):
            snr_db(*wrong)


def test_where_noise_begins_and_falls() -> None:
    """A is exact; b brings noise in, c more of it; d reads a and c."""
    sums = [("a", 100.0, 0.0, 4), ("b", 100.0, 0.01, 4), ("c", 100.0, 1.0, 4), ("d", 1.0, 0.01, 4)]
    inputs = {"a": (), "b": ("a",), "c": ("b", "elsewhere"), "d": ("a", "c")}
    layers = layer_noises(sums, inputs, {"b": "Convolution"})
    assert [(one.layer, one.snr_db) for one in layers] == [
        ("c", 20.0),
        ("d", 20.0),
        ("b", 40.0),
        ("a", math.inf),
    ]
    by_name = {one.layer: one for one in layers}
    assert [name for name, one in by_name.items() if one.begins] == ["b"]
    assert by_name["c"].fall_db == pytest.approx(20)
    assert by_name["d"].fall_db == pytest.approx(0)
    assert by_name["b"].fall_db is by_name["a"].fall_db is None
    assert (by_name["b"].kind, by_name["c"].kind, by_name["d"].place) == ("Convolution", "", 3)


def test_a_layer_is_ranked_by_what_it_adds() -> None:
    """conv2's noise shows behind its BatchNorm; conv3 reads a lost signal and adds nothing."""
    signal = {"conv1": 1e-3, "relu1": 1e-3, "conv2": 1e-5, "bn2": 0.5, "conv3": 4.0, "fc": 0.9}
    sums = [(name, 1.0, noise, 4) for name, noise in signal.items()]
    inputs = {
        "conv1": (),
        "relu1": ("conv1",),
        "conv2": ("relu1",),
        "bn2": ("conv2",),
        "conv3": ("bn2",),
        "fc": ("conv3",),
    }
    kinds = dict.fromkeys(signal, "Convolution") | {"relu1": "ReLU", "bn2": "BatchNorm"}
    layers = layer_noises(sums, inputs, kinds)
    ranked = rank_by_added_noise(layers, inputs, {"Convolution"}, {"ReLU", "BatchNorm"})
    # 0.5 - 0.001; 1 (of 4.0) - 0.5; 0.001; 0.9 - 1
    assert ranked == ["conv3", "conv2", "conv1", "fc"]
    exact = rank_by_added_noise(layers, inputs, {"Convolution"}, set())
    assert exact[0] == "conv3"
    assert exact.index("conv2") > exact.index("conv1")
