"""The bisection, and the command line that comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.evaluate.options import EvaluateParameters
from mlubench.explain.keep_float import compile_command, least_count


@given(st.integers(0, 200), st.data())
def test_the_least_count_of_a_falling_curve(most: int, data: st.DataObject) -> None:
    enough = data.draw(st.integers(0, most + 1))
    asked: list[int] = []

    def drop(count: int) -> float:
        asked.append(count)
        return 0.02 if count < enough else 0.001

    assert least_count(drop, most, 0.005) == (enough if enough <= most else None)
    assert len(set(asked)) <= most.bit_length() + 2


def test_of_a_rough_curve_the_last_one_before_is_over() -> None:
    drops = [0.02, 0.001, 0.02, 0.02, 0.001, 0.001, 0.02, 0.001]
    found = least_count(drops.__getitem__, 7, 0.005)
    assert found is not None
    assert drops[found] <= 0.005 < drops[found - 1]


def test_command_has_what_is_not_usual() -> None:
    asked = EvaluateParameters(
        prototxt=Path("a net.prototxt"),
        caffemodel=Path("w.caffemodel"),
        input_size=64,
        label_order="2012",
        image_dir=Path("images"),
        means=(104.0, 117.0, 123.5),
        dynamic_shape=True,
        batch_size=4,
        calibration_dir=Path("train"),
    )
    command = compile_command(asked, "qint8_mixed_float16", ("conv1/7x7", "fc"))
    assert command.startswith("mlubench compile ")
    for part in (
        "--prototxt 'a net.prototxt'",
        "--means 104 117 123.5",
        "--dynamic_shape true",
        "--batch_size 4",
        "--calibration_dir train",
        "--precision qint8_mixed_float16",
        "--keep_float conv1/7x7 fc",
    ):
        assert part in command
    assert "--image_dir" not in command


def test_nothing_to_keep_is_not_said() -> None:
    assert compile_command(EvaluateParameters(), "qint8_mixed_float16", ()) == (
        "mlubench compile --precision qint8_mixed_float16"
    )


@pytest.mark.parametrize("most", [0, 1])
def test_few_layers(most: int) -> None:
    assert least_count(lambda count: 0.0 if count else 1.0, most, 0.5) == (most or None)
