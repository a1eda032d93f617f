"""The simulated SDK, and what it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_sdk_tests.lifecycle import Plan, Runner, build, normalised
from tests.support.networks import random_images, write_small_network
from tests.support.simulated_sdk import simulated


@pytest.fixture
def mm(tmp_path: Path) -> Iterator[Any]:
    """The simulated SDK with one card, in this process."""
    with simulated(tmp_path / "simulation") as runtime:
        yield runtime


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A small network."""
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    return Plan((write_small_network(path),))


@pytest.fixture
def quantised(small: Plan) -> Plan:
    """The small network, to be quantised on two samples."""
    samples = [normalised(small, random_images(4, seed=seed)) for seed in (1, 2)]
    return dataclasses.replace(small, precision="qint8_mixed_float32", samples=samples)


@pytest.fixture
def runner(mm: Any, small: Plan, tmp_path: Path) -> Runner:
    """The small network, loaded."""
    build(mm, small, tmp_path / "model")
    return Runner(mm, tmp_path / "model")
