"""mm_run's options: the documented names and defaults, both spellings, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlubench.errors import ConfigError
from mlubench.speed.mm_run.tool.options import MmRunOptions
from tests.speed.mm_run.tool.samples import NEW

MODEL = Path("model")


def _options(**given: Any) -> MmRunOptions:
    return MmRunOptions.model_validate({"magicmind_model": "model", **given})


def test_defaults_are_the_documented_ones() -> None:
    assert _options().model_dump() == {
        "magicmind_model": MODEL,
        "input_dims": (),
        "batch_size": (),
        "run_config": None,
        "input_files": (),
        "output_path": None,
        "plugin": (),
        "devices": ("0",),
        "threads": 1,
        "bind_cluster": False,
        "warmup": 200,
        "duration": 3000,
        "iterations": 100,
        "disable_data_copy": False,
        "host_async": False,
        "buffer_depth": 2,
        "infer_depth": 2,
        "kernel_capture": False,
        "trace_path": None,
        "debug_path": None,
        "perf_path": None,
        "trace_pmu": False,
        "trace_time": "host",
        "avg_runs": (100, 10),
        "datatransfer_opt": None,
    }


def test_every_option_is_described() -> None:
    assert all(field.description for field in MmRunOptions.model_fields.values())


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ({"input_dims": ["1,3,224,224", "5,6,7"]}, "input_dims", ((1, 3, 224, 224), (5, 6, 7))),
        ({"input_dims": "1,2,3,4 _ 5,6,7"}, "input_dims", ((1, 2, 3, 4), (5, 6, 7))),
        ({"input_dims": ((1, 3), (2,))}, "input_dims", ((1, 3), (2,))),
        ({"batch_size": ["8"]}, "batch_size", (8,)),
        ({"batch_size": ["8", "_", "4"]}, "batch_size", (8, None, 4)),
        ({"batch_size": "8,_"}, "batch_size", (8, None)),
        ({"batch": 4}, "batch_size", (4,)),
        ({"bind_cluster": "1"}, "bind_cluster", True),
        ({"host_async": "False"}, "host_async", False),
        ({"avg_runs": "50,5"}, "avg_runs", (50, 5)),
        ({"avg_runs": ["50,5"]}, "avg_runs", (50, 5)),
        ({"devices": ["0", "1"]}, "devices", ("0", "1")),
        ({"datatransfer_opt": "0"}, "datatransfer_opt", False),
    ],
)
def test_values_as_mm_run_takes_them(given: dict[str, Any], name: str, expected: Any) -> None:
    options = _options(**given)
    assert getattr(options, name) == expected
    assert options.model_fields_set == {"magicmind_model", name}


@pytest.mark.parametrize(
    "given",
    [
        {"buffer_depth": 1},
        {"infer_depth": 0},
        {"threads": 0},
        {"iterations": 0},
        {"warmup": -1},
        {"trace_time": "host,dev"},
        {"batch_size": ["x"]},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"input_dims": ["1,x"]},
        {"input_dims": 5},
        {"avg_runs": "100"},
        {"avg_runs": 7},
        {"bind_cluster": "maybe"},
        {"devices": []},
        {"batches": 4},
    ],
    ids=str,
)
def test_wrong_values(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        _options(**given)
    assert raised.value.errors()[0]["loc"][0] == next(iter(given))


def test_both_spellings_at_once() -> None:
    with pytest.raises(ConfigError, match="--batch is an older spelling of --batch_size"):
        _options(batch=4, batch_size=[4])


def test_outputs_need_inputs() -> None:
    with pytest.raises(ConfigError, match="--output_path: outputs are saved only of given"):
        _options(output_path="out")
    assert _options(output_path="out", input_files=["in"]).output_path == Path("out")


def test_a_model_is_needed() -> None:
    with pytest.raises(ValidationError, match="magicmind_model"):
        MmRunOptions.model_validate({})
    with pytest.raises(ValidationError):
        MmRunOptions.model_validate("model")


def test_parameters_are_printed_as_documented() -> None:
    options = _options(
        magicmind_model="model2", input_dims="1,2,3,4 _ 5,6,7", batch_size=["8", "_"]
    )
    printed = options.parameters()
    documented = [line.split(":")[0].strip() for line in NEW.splitlines() if line[:2] == "--"]
    shown = [f"--{item.name}<{item.kind}>" for item in printed]
    assert [name for name in shown if name in documented] == documented
    values = {item.name: item.value for item in printed}
    assert values["magicmind_model"] == "model2"
    assert values["input_dims"] == "1,2,3,4 _ 5,6,7"
    assert values["batch_size"] == "8,_"
    assert values["bind_cluster"] == "false"
    assert values["run_config"] == ""
    assert values["avg_runs"] == "100,10"
    assert "datatransfer_opt" not in values
