"""How many threads decode: who is the bottleneck gets the cores."""

from __future__ import annotations

import pytest

from mlubench.images.decoding.pace import Pace

CORES = 8
SHARD = 512


def _pace(decoder: float, inference: float, seconds: float = 10.0) -> Pace:
    """Return one that has seen so many images per second of one decoder and of inference."""
    pace = Pace(CORES)
    pace.decoded(1000, 1000 / decoder)
    pace.used(0, SHARD, 0.0)
    pace.used(SHARD, int(seconds * inference), seconds)
    return pace


def test_all_cores_decode_until_a_device_asks() -> None:
    pace = Pace(CORES)
    assert pace.decoders(0, 0.0) == CORES
    pace.decoded(64, 1.0)
    assert pace.decoders(50_000, 1.0) == CORES


def test_all_cores_decode_while_devices_wait_for_them() -> None:
    pace = _pace(decoder=100, inference=100)
    used = SHARD + 1000
    assert pace.decoders(used, 10.0) == CORES
    assert pace.decoders(used + SHARD, 10.0) == CORES


@pytest.mark.parametrize(
    ("decoder", "inference", "expected"),
    [(300, 1000, 4), (300, 900, 3), (300, 10, 1), (100, 5000, CORES), (100, 799, CORES)],
)
def test_as_many_decode_as_keep_up_with_inference(
    decoder: float, inference: float, expected: int
) -> None:
    pace = _pace(decoder, inference)
    assert pace.decoders(50_000, 10.0) == expected


def test_a_device_that_slows_down_gives_cores_back() -> None:
    pace = _pace(decoder=100, inference=400)
    assert pace.decoders(50_000, 10.0) == 4
    assert pace.decoders(50_000, 20.0) == 2


def test_one_always_decodes() -> None:
    pace = Pace(CORES)
    pace.decoded(64, 1.0)
    pace.used(0, SHARD, 5.0)
    assert pace.decoders(50_000, 5.0) == CORES  # no time has passed: no rate is known
    assert pace.decoders(50_000, 6.0) == 1


def test_a_run_that_goes_on_where_another_ended_counts_from_there() -> None:
    pace = Pace(CORES)
    pace.decoded(1000, 10.0)
    pace.used(30_000, SHARD, 0.0)
    pace.used(30_512, SHARD, 2.0)
    assert pace.decoders(40_000, 2.0) == 3  # 256 a second, not 15,000
