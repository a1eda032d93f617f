"""The evaluate flow on simulated MLU cards: the same answers whatever befalls the cards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL

from flows.start import print_outcome
from mlubench.caffe import import_caffe
from mlubench.conf import CONF
from mlubench.errors import ConfigError
from mlubench.images.digits import write_digits
from mlubench.pipeline.explain import explain
from mlubench.pipeline.outcome import Outcome
from tests.flows.conftest import Evaluate
from tests.support.long import long
from tests.support.simulated_sdk import environment, misuses

PRECISIONS = ["force_float32", "force_float16", "qint8_mixed_float16"]
CAFFE = (
    CONF / "sample" / "se_resnet50_digits.prototxt",
    CONF / "sample" / "se_resnet50_digits.caffemodel",
)
#: An evaluation of few images in one precision, for faults that need no more.
FEW = {"precision": ("force_float32",), "image_num": 48, "shards": 6}
#: So long may a worker be silent where one is to hang; what else it does takes part of a second.
SILENCE = "magicmind: {silence: {build: 60, load: 60, run: 6}}"

Fault = dict[str, Any]
Cards = Callable[..., None]


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cards]:
    """Gives the workers so many simulated cards with these faults; none may misuse the SDK."""
    given = []

    def give(count: int, *faults: Fault) -> None:
        variables = environment(tmp_path, cards=count, faults=faults)
        given.append(variables)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    yield give
    assert [misuse for variables in given for misuse in misuses(variables)] == []


def _on(count: int) -> dict[str, Any]:
    """Return the options of an evaluation on so many cards."""
    return {"engine": "magicmind", "devices": tuple(f"mlu:{card}" for card in range(count))}


def _bytes(outcome: Outcome) -> bytes:
    return (outcome.folder / "predictions.parquet").read_bytes()


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, bytes]:
    """The predictions of runs that nothing befell, by what was asked for."""
    return {}


@pytest.fixture
def sound(run: Evaluate, cards: Cards, undisturbed: dict[str, bytes]) -> Callable[..., bytes]:
    """Returns the predictions of an evaluation on one card that nothing befalls."""

    def sound(**options: Any) -> bytes:
        key = repr(options)
        if key not in undisturbed:
            cards(1)
            undisturbed[key] = _bytes(run(**_on(1), **options))
        return undisturbed[key]

    return sound


@pytest.mark.parametrize("count", [4, pytest.param(8, marks=long)])
def test_the_number_of_cards_changes_no_byte(
    run: Evaluate, cards: Cards, sound: Any, count: int
) -> None:
    expected = sound()
    cards(count)
    outcome = run(**_on(count), shards=16)
    assert outcome.exit_status == 0
    assert _bytes(outcome) == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert shards.attempts.tolist() == [1] * len(shards)
    assert len(set(shards.device)) == count


@pytest.mark.parametrize(
    "shape",
    [
        {"batch_size": 7},  # the last batch is not full
        {"batch_size": 1, "dynamic_shape": True},
        {"batch_size": 7, "dynamic_shape": True},
        {
            "batch_size": 5,
            "dynamic_shape": True,
            "dim_range_min": (4, 3, 56, 56),  # the last batch must be filled up
            "dim_range_max": (8, 3, 56, 56),
        },
    ],
)
def test_batches_change_no_byte(
    run: Evaluate, cards: Cards, sound: Any, shape: dict[str, Any]
) -> None:
    expected = sound(**FEW)
    cards(2)
    assert _bytes(run(**_on(2), **FEW, **shape)) == expected


def test_an_onnx_network_and_the_cards_that_are_visible(
    run: Evaluate, cards: Cards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = {"prototxt": CAFFE[0], "caffemodel": CAFFE[1]}
    onnx.save(import_caffe(*CAFFE), tmp_path / "network.onnx")
    digits = write_digits(tmp_path / "digits")
    images = {
        "image_dir": digits.val,
        "label_file": digits.val_labels,
        "label_file_order": "digits",
        "label_order": "digits",
        "input_size": 56,
        "means": (104, 117, 123),
        "resize": "none",
    }
    cards(3, {"call": "Device.active", "card": 1, "how": "segfault", "times": 999})
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "2,0")
    as_onnx = run(**_on(2), **FEW, **images, onnx=tmp_path / "network.onnx")
    as_caffe = run(**_on(2), **FEW, **images, **network)
    assert as_onnx.lost == as_caffe.lost == {}
    assert _bytes(as_onnx) == _bytes(as_caffe)


def test_accuracies_are_those_of_the_embedded_engine(run: Evaluate, cards: Cards) -> None:
    cards(2)
    ours, theirs = run(**_on(2)), run()
    tables = [
        pd.read_parquet(outcome.folder / "accuracy.parquet").set_index("precision")
        for outcome in (ours, theirs)
    ]
    for column in ("images", "top1", "top5"):
        assert tables[0][column]["force_float32"] == tables[1][column]["force_float32"]
    best = [
        pd.read_parquet(outcome.folder / "predictions.parquet")
        .query("precision == 'force_float32'")
        .top5_index.str[0]
        .tolist()
        for outcome in (ours, theirs)
    ]
    assert best[0] == best[1]
    for precision in PRECISIONS:
        assert abs(tables[0].top1[precision] - tables[0].top1["force_float32"]) <= 0.01, precision


def _artifact(key: str) -> tuple[str, str]:
    """Return the description and the contents of what Prefect's UI shows of the last run."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(artifact_filter=wanted, sort="CREATED_DESC", limit=1)
    return str(artifact.description), str(artifact.data)


def test_whatever_a_simulated_run_leaves_says_so(
    run: Evaluate, cards: Cards, capsys: pytest.CaptureFixture[str]
) -> None:
    cards(2)
    outcome = run(**_on(2), **FEW)
    assert "simulated" in outcome.folder.name
    record = json.loads((outcome.folder / "run.json").read_text())
    assert record["engine"] == "magicmind (simulated)"
    assert all("simulated" in device for device in record["devices"])
    accuracy = pd.read_parquet(outcome.folder / "accuracy.parquet")
    assert accuracy.engine.tolist() == ["magicmind (simulated)"]
    assert accuracy.executed_precision.tolist() == ["float32 (simulated)"]
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert shards.device.str.endswith(" (simulated)").all()
    assert "magicmind (simulated)" in (outcome.folder / "report.html").read_text()
    print_outcome(outcome)
    said = capsys.readouterr().out
    assert "float32 (simulated)" in said
    assert "engine:  magicmind (simulated)" in said
    for key in ("accuracy", "summary"):
        described, shown = _artifact(key)
        assert outcome.record.run_id in described
        assert "simulated" in shown, key


def _lost(card: int | None, after: int) -> Fault:
    return {"call": "Context.enqueue", "card": card, "after": after, "times": 99, "how": "lost"}


def test_a_card_lost_midway_changes_no_byte(
    run: Evaluate, cards: Cards, sound: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = sound()
    cards(4, _lost(2, after=5))
    outcome = run(**_on(4), shards=25)
    assert _bytes(outcome) == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert shards.groupby("precision").images.sum().tolist() == [600] * 3
    again = shards[shards.attempts > 1]
    assert len(again) == 1
    (failure,) = again.failures.iloc[0]
    assert failure.startswith("mlu:2: MagicMind's Context.enqueue(")
    assert "card 2 is lost" in failure
    assert again.device.iloc[0] != "mlu:2 (simulated)"
    print_outcome(outcome)
    told = {
        "run.json": (outcome.folder / "run.json").read_text(),
        "report": (outcome.folder / "report.html").read_text().replace("&#39;", "'"),
        "console": capsys.readouterr().out,
        "notes": "\n".join(outcome.notes()),
        "summary": _artifact("summary")[1],
    }
    for where, text in told.items():
        assert "mlu:2: " in text, where
        assert "lost" in text, where
        assert "Context.enqueue" in text, where


_EVALUATE = """
import sys
from mlubench.cli import main
sys.exit(main(["eval", "--engine", "magicmind", *sys.argv[1:]]))
"""


def _command(*options: object) -> subprocess.CompletedProcess[str]:
    """Run ``mlubench eval`` on magicmind in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", _EVALUATE, *map(str, options)],
        env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        capture_output=True,
        text=True,
        check=False,
    )


@long
def test_all_cards_lost_end_the_run_and_the_next_goes_on(
    run: Evaluate, out: Path, cards: Cards, sound: Any, tmp_path: Path
) -> None:
    expected = sound()
    mine = tmp_path / "artifacts"
    shutil.copytree(out / "cache", mine / "cache")
    shutil.copytree(out / "data", mine / "data")
    cards(4, _lost(None, after=20))
    done = _command("--devices", "mlu:0", "mlu:1", "mlu:2", "mlu:3", "--shards", 25, "--out", mine)
    assert done.returncode == 4, done.stderr
    assert "--devices mlu:0 mlu:1 mlu:2 mlu:3: no device is left: mlu:0" in done.stderr
    assert "is lost" in done.stderr
    assert "goes on where this one ended" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((mine / "runs").glob("*/*"))
    kept = list((mine / "unfinished").glob("*/*/[0-9]*.parquet"))
    assert kept

    cards(4)
    began = pd.Timestamp.now("UTC")
    outcome = run(**_on(4), shards=25, out=mine)
    assert _bytes(outcome) == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    before = shards.started_utc.dt.tz_convert("UTC") < began
    assert before.sum() == len(kept)


def _stages(hows: Sequence[str]) -> list[tuple[str, str]]:
    calls = ("Builder.build_model", "Model.deserialize_from_file", "Context.enqueue")
    return [(call, how) for call in calls for how in hows]


@pytest.mark.parametrize(
    ("call", "how"),
    [
        *_stages(["status", "abort"]),
        *(pytest.param(*one, marks=long) for one in _stages(["segfault"])),
        ("Context.enqueue", "hang"),
    ],
)
def test_what_befalls_one_card_is_done_by_another(
    run: Evaluate, cards: Cards, sound: Any, tmp_path: Path, call: str, how: str
) -> None:
    expected = sound(**FEW)
    (tmp_path / "engines.yaml").write_text(SILENCE)
    cards(2, {"call": call, "how": how, "times": 1})
    # In a folder of its own the network is built anew.
    outcome = run(**_on(2), **FEW, conf=(tmp_path,), out=tmp_path / "artifacts")
    assert outcome.exit_status == 0
    assert _bytes(outcome) == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    again = [failure for failures in shards.failures for failure in failures]
    assert shards.attempts.sum() == len(shards) + len(again)
    assert len(again) == (call == "Context.enqueue")
    words = {
        "status": "MagicMind's Context.enqueue",
        "abort": "exit status -6",
        "segfault": "exit status -11",
        "hang": "no sign of life for 6 s",
    }
    assert all(words[how] in failure for failure in again)
    assert outcome.lost == {}


@pytest.mark.parametrize(
    ("call", "lost"),
    [
        pytest.param("Device.active", ["mlu:0"], marks=long),
        pytest.param("Builder.build_model", [], marks=long),
        ("Engine.create_i_context", ["mlu:0"]),
    ],
)
def test_a_card_that_always_fails_is_lost_at_each_stage(
    run: Evaluate, cards: Cards, sound: Any, tmp_path: Path, call: str, lost: list[str]
) -> None:
    expected = sound(**FEW)
    cards(2, {"call": call, "how": "status", "card": 0, "times": 999})
    outcome = run(**_on(2), **FEW, out=tmp_path)
    assert _bytes(outcome) == expected
    assert list(outcome.lost) == lost


def test_layers_of_a_card_cannot_be_compared_images_and_classes_can(
    run: Evaluate, cards: Cards
) -> None:
    cards(1)
    asked = {"precision": ("force_float32", "force_float16"), "image_num": 48}
    outcome = run(**_on(1), **asked)
    out = outcome.folder.parents[1]
    with pytest.raises(ConfigError, match="a form of its own that is not documented"):
        explain(outcome.folder, out, "force_float16")
    told = explain(outcome.folder, out, "force_float16", layers_needed=False)
    assert "a form of its own that is not documented" in told.no_layers
    assert (told.paired.images, list(told.layers)) == (48, [])
    assert (outcome.folder / "explain" / "force_float16" / "flips.parquet").is_file()
