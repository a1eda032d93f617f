"""The input shapes of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import ConfigError
from mlubench.speed.mm_run.tool.options import MmRunOptions
from mlubench.speed.mm_run.tool.shapes import shape_groups

#: A dynamic network of two inputs, the second with one open dimension more.
INPUTS = (("data", (-1, 3, 224, 224)), ("mask", (-1, -1)))


def _groups(inputs: Any = INPUTS, **given: Any) -> list[list[tuple[int, ...]]]:
    options = MmRunOptions.model_validate({"magicmind_model": "m", **given})
    groups = shape_groups(options, inputs)
    assert all([name for name, _ in group] == [name for name, _ in inputs] for group in groups)
    return [[dims for _, dims in group] for group in groups]


def test_the_networks_own() -> None:
    assert _groups((("data", (4, 3, 8, 8)),)) == [[(4, 3, 8, 8)]]


def test_dims_and_batches() -> None:
    dims = {"input_dims": "1,3,224,224 1,7"}
    assert _groups(**dims) == [[(1, 3, 224, 224), (1, 7)]]
    assert _groups(**dims, batch_size=["8", "_"]) == [[(8, 3, 224, 224), (1, 7)]]
    assert _groups((("data", (-1, 3, 8, 8)),), batch_size=8) == [[(8, 3, 8, 8)]]


_BY_ORDER = [[[1, 3, 224, 224], [1, 7]], [[8, 3, 224, 224], [8, 9]]]
_BY_NAME = [dict(zip(("mask", "data"), group[::-1], strict=True)) for group in _BY_ORDER]


@pytest.mark.parametrize(
    "config",
    [
        {"inputType": 0, "shapes": _BY_ORDER},
        {"inputShape": _BY_NAME, "inputType": 1},
        [{"inputType": 0, "s": group} for group in _BY_ORDER],
        [{"inputType": 1, "s": group} for group in _BY_NAME],
        [{"inputType": 1, **group} for group in _BY_NAME],
    ],
    ids=["order", "name", "objects by order", "objects by name", "names as keys"],
)
def test_a_run_config_goes_over_everything(tmp_path: Path, config: Any) -> None:
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps(config))
    assert _groups(run_config=path, batch_size=["3", "3"]) == [
        [tuple(dims) for dims in group] for group in _BY_ORDER
    ]


@pytest.mark.parametrize(
    ("given", "where", "message"),
    [
        ({}, "--input_dims", r"\[-1, 3, 224, 224\]"),
        ({"input_dims": "1,3,224,224"}, "--input_dims", "shapes of 1 inputs"),
        ({"input_dims": "1,3,225,224 1,7"}, "--input_dims", r"\[1, 3, 225, 224\]"),
        ({"input_dims": "1,3,224 1,7"}, "--input_dims", r"\[1, 3, 224\]"),
        ({"input_dims": "0,3,224,224 1,7"}, "--input_dims", r"\[0, 3, 224, 224\]"),
        ({"batch_size": ["8"]}, "--batch_size", "shapes of 1 inputs"),
        ({"batch_size": ["8", "8"]}, "--batch_size", r"\[8, -1\]"),
    ],
)
def test_shapes_that_do_not_fit(given: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{where}: .*{message}"):
        _groups(**given)


@pytest.mark.parametrize(
    "config",
    [
        "no json",
        "[]",
        "[1]",
        '{"inputType": 2, "shapes": [[[1]]]}',
        '{"shapes": [[[1]]]}',
        '{"inputType": 0}',
        '{"inputType": 0, "shapes": []}',
        '{"inputType": 0, "shapes": [1]}',
        '{"inputType": 0, "shapes": [[["1"]]]}',
        '{"inputType": 0, "shapes": {"data": [1]}}',
        '{"inputType": 0, "a": [[[1]]], "b": [[[1]]]}',
        '{"inputType": 1, "shapes": [[[1]]]}',
        '{"inputType": 1, "shapes": [{"data": [1]}]}',
        '{"inputType": 1, "shapes": [{"data": [1], "mask": 1}]}',
    ],
)
def test_what_is_no_run_config(tmp_path: Path, config: str) -> None:
    path = tmp_path / "shapes.json"
    path.write_text(config)
    with pytest.raises(ConfigError, match=f"^--run_config {path}: ") as raised:
        _groups(run_config=path)
    assert raised.value.fix


def test_no_run_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: .*No such file"):
        _groups(run_config=tmp_path / "none.json")
