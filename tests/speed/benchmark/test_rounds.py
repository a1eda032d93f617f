"""What a benchmark measures: its matrix, its networks, its devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlubench.errors import ConfigError
from mlubench.networks.choose import network_in_any_order
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.speed.benchmark.rounds import (
    Variant,
    bench_spec,
    configurations,
    device_sets,
    variants,
)


def test_the_whole_matrix_is_measured_once() -> None:
    asked = BenchParameters(
        precision=("force_float32", "qint8_mixed_float16"),
        batch_size=(1, 8),
        dynamic_shape=(False, True),
        devices=("cpu:0", "cpu:1"),
        threads=2,
    )
    found = configurations(asked, infer_depth=3)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    whole = [one for one in found if len(one.devices) == 2]
    assert len(whole) == 2 * 2 * 2
    assert {(one.threads, one.infer_depth) for one in found} == {(2, 3)}
    alone = [one for one in found if len(one.devices) == 1]
    assert {(one.precision, one.batch_size, one.dynamic_shape) for one in alone} == {
        ("force_float32", 8, False),
        ("qint8_mixed_float16", 8, False),
    }


def test_a_dynamic_network_is_compiled_once_for_all_batches() -> None:
    asked = BenchParameters(
        precision=("force_float32",), batch_size=(1, 4), dynamic_shape=(False, True)
    )
    assert variants(asked) == [
        Variant("force_float32", 1, False),
        Variant("force_float32", 1, True),
        Variant("force_float32", 4, False),
    ]


@given(st.integers(1, 40))
def test_devices_grow_by_doubling_up_to_all(count: int) -> None:
    devices = [f"mlu:{place}" for place in range(count)]
    sizes = [len(one) for one in device_sets(devices)]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == count
    assert all(size & (size - 1) == 0 for size in sizes[:-1])
    assert all(one == tuple(devices[: len(one)]) for one in device_sets(devices))


def test_ranges_are_made_up_only_where_nothing_calibrates() -> None:
    asked = BenchParameters()
    network = network_in_any_order(asked)
    int8 = Variant("qint8_mixed_float16", 4, False)
    plain = Variant("force_float32", 4, False)
    assert bench_spec(network, asked, int8, calibrated=True).random_calib_range is None
    assert bench_spec(network, asked, int8, calibrated=False).random_calib_range == (-1.0, 1.0)
    assert bench_spec(network, asked, plain, calibrated=False).random_calib_range is None
    given = BenchParameters(random_calib_range=(0, 6))
    assert bench_spec(network, given, int8, calibrated=False).random_calib_range == (0.0, 6.0)
    assert bench_spec(network, asked, int8, calibrated=True).batch_size == 4


def test_one_value_or_several() -> None:
    assert BenchParameters(batch_size=16).batch_size == (16,)
    assert BenchParameters(dynamic_shape="true").dynamic_shape == (True,)
    assert BenchParameters(devices=("0", "1"), engine="magicmind").devices == ("mlu:0", "mlu:1")
    assert BenchParameters(engine="magicmind").devices == ("mlu:0",)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"precision": ("force_int4",)}, "--precision"),
        ({"batch_size": (4, 4)}, "--batch_size"),
        ({"devices": ()}, "--devices"),
        ({"prototxt": "a.prototxt"}, "--caffemodel"),
    ],
)
def test_refusals(options: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BenchParameters(**options)  # type: ignore[arg-type]
    assert caught.value.where == where


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        BenchParameters(batch_size=(0,))
