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

import pandas as pd
import pytest

from mlubench.cli.flows import print_outcome
from mlubench.errors import ConfigError
from mlubench.evaluate.results import Outcome
from mlubench.explain.explain import explain
from mlubench.images.datasets.digits import write_digits
from tests.flows.conftest import Evaluate
from tests.support.long import long
from tests.support.pageless import pageless as pageless
from tests.support.pageless import without_page
from tests.support.shown import shown
from tests.support.simulated_sdk import environment, misuses
from tests.support.small_digits import write_small_digits

PRECISIONS = ["force_float32", "force_float16", "qint8_mixed_float16"]
#: The sample in all precisions, calibrated on fewer images than usual.
SAMPLE = {"calibration_num": 32}
#: So many images that each card gets some.
MORE = {**SAMPLE, "image_num": 128}
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
def few(tmp_path_factory: pytest.TempPathFactory, compiled_sample: Path) -> dict[str, Any]:
    """An evaluation of a small network in one precision on few images: for what needs no more."""
    prototxt, caffemodel = write_small_digits(tmp_path_factory.mktemp("small"))
    digits = write_digits(compiled_sample / "data" / "digits")  # they are there already
    return {
        "prototxt": prototxt,
        "caffemodel": caffemodel,
        "image_dir": digits.val,
        "label_file": digits.val_labels,
        "label_file_order": "digits",
        "label_order": "digits",
        "input_size": 56,
        "means": (104, 117, 123),
        "resize": "none",
        "precision": ("force_float32",),
        "image_num": 48,
        "shards": 6,
    }


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
            with without_page():
                undisturbed[key] = _bytes(run(**_on(1), **options))
        return undisturbed[key]

    return sound


@pytest.mark.usefixtures("pageless")
@pytest.mark.parametrize("count", [4, pytest.param(8, marks=long)])
def test_the_number_of_cards_changes_no_byte(
    run: Evaluate, cards: Cards, sound: Any, count: int
) -> None:
    expected = sound(**MORE)
    cards(count)
    outcome = run(**_on(count), **MORE, shards=16)
    assert outcome.exit_status == 0
    assert _bytes(outcome) == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert shards.attempts.tolist() == [1] * len(shards)
    assert len(set(shards.device)) == count


@pytest.mark.usefixtures("pageless")
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
    run: Evaluate, cards: Cards, sound: Any, few: dict[str, Any], shape: dict[str, Any]
) -> None:
    expected = sound(**few)
    cards(1)
    assert _bytes(run(**_on(1), **few, **shape)) == expected


@pytest.mark.usefixtures("pageless")
def test_an_onnx_network_and_the_cards_that_are_visible(
    run: Evaluate,
    cards: Cards,
    few: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnx

    from mlubench.networks.caffe import import_caffe

    caffe = ("prototxt", "caffemodel")
    onnx.save(import_caffe(*(few[part] for part in caffe)), tmp_path / "network.onnx")
    others = {name: value for name, value in few.items() if name not in caffe}
    cards(3, {"call": "Device.active", "card": 1, "how": "segfault", "times": 999})
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "2,0")
    as_onnx = run(**_on(2), **others, onnx=tmp_path / "network.onnx")
    as_caffe = run(**_on(2), **few)
    assert as_onnx.lost == as_caffe.lost == {}
    assert _bytes(as_onnx) == _bytes(as_caffe)


@pytest.mark.usefixtures("pageless")
def test_accuracies_are_those_of_the_embedded_engine(run: Evaluate, cards: Cards) -> None:
    cards(1)
    ours = run(**_on(1), **SAMPLE, image_num=300)
    theirs = run(precision=("force_float32",), image_num=300)
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


def test_whatever_a_simulated_run_leaves_says_so(
    run: Evaluate, cards: Cards, few: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cards(2)
    outcome = run(**_on(2), **few)
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
    artifacts = shown(outcome)
    for key in ("accuracy", "summary"):
        described, contents = artifacts[key]
        assert outcome.record.run_id in described
        assert "simulated" in contents, key


def _lost(card: int | None, after: int) -> Fault:
    return {"call": "Context.enqueue", "card": card, "after": after, "times": 99, "how": "lost"}


def test_a_card_lost_midway_changes_no_byte(
    run: Evaluate, cards: Cards, sound: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    some = {"precision": PRECISIONS[:2], "image_num": 200}
    expected = sound(**some)
    cards(3, _lost(2, after=5))
    outcome = run(**_on(3), **some, shards=25)
    assert _bytes(outcome) == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert shards.groupby("precision").images.sum().tolist() == [200] * 2
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
        "summary": shown(outcome)["summary"][1],
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


def _command(server: str, *options: object) -> subprocess.CompletedProcess[str]:
    """Run ``mlubench eval`` on magicmind in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", _EVALUATE, *map(str, options)],
        env={**os.environ, "PREFECT_API_URL": server},
        capture_output=True,
        text=True,
        check=False,
    )


@long
def test_all_cards_lost_end_the_run_and_the_next_goes_on(
    run: Evaluate, out: Path, cards: Cards, sound: Any, tmp_path: Path, prefect_server: str
) -> None:
    expected = sound()
    mine = tmp_path / "artifacts"
    shutil.copytree(out / "cache", mine / "cache")
    shutil.copytree(out / "data", mine / "data")
    cards(4, _lost(None, after=20))
    devices = ("mlu:0", "mlu:1", "mlu:2", "mlu:3")
    done = _command(prefect_server, "--devices", *devices, "--shards", 25, "--out", mine)
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


def _folder(call: str, out: Path, own: Path) -> dict[str, Path]:
    """Return the folder of artifacts: where the build fails, one without the network."""
    return {"out": own if call == "Builder.build_model" else out}


def _stages(hows: Sequence[str]) -> list[tuple[str, str]]:
    calls = ("Builder.build_model", "Model.deserialize_from_file", "Context.enqueue")
    return [(call, how) for call in calls for how in hows]


@pytest.mark.usefixtures("pageless")
@pytest.mark.parametrize(
    ("call", "how"),
    [
        *_stages(["status", "abort"]),
        *(pytest.param(*one, marks=long) for one in _stages(["segfault"])),
        ("Context.enqueue", "hang"),
    ],
)
def test_what_befalls_one_card_is_done_by_another(
    run: Evaluate,
    out: Path,
    cards: Cards,
    sound: Any,
    few: dict[str, Any],
    tmp_path: Path,
    call: str,
    how: str,
) -> None:
    expected = sound(**few)
    (tmp_path / "engines.yaml").write_text(SILENCE)
    cards(2, {"call": call, "how": how, "times": 1})
    folder = _folder(call, out, tmp_path / "artifacts")
    outcome = run(**_on(2), **few, conf=(tmp_path,), **folder)
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


@pytest.mark.usefixtures("pageless")
@pytest.mark.parametrize(
    ("call", "lost"),
    [
        pytest.param("Device.active", ["mlu:0"], marks=long),
        pytest.param("Builder.build_model", [], marks=long),
        ("Engine.create_i_context", ["mlu:0"]),
    ],
)
def test_a_card_that_always_fails_is_lost_at_each_stage(
    run: Evaluate,
    out: Path,
    cards: Cards,
    sound: Any,
    few: dict[str, Any],
    tmp_path: Path,
    call: str,
    lost: list[str],
) -> None:
    expected = sound(**few)
    cards(2, {"call": call, "how": "status", "card": 0, "times": 999})
    outcome = run(**_on(2), **few, **_folder(call, out, tmp_path))
    assert _bytes(outcome) == expected
    assert list(outcome.lost) == lost


@pytest.mark.usefixtures("pageless")
def test_layers_of_a_card_cannot_be_compared_images_and_classes_can(
    run: Evaluate, cards: Cards, few: dict[str, Any]
) -> None:
    cards(1)
    outcome = run(**_on(1), **{**few, "precision": ("force_float32", "force_float16")})
    out = outcome.folder.parents[1]
    with pytest.raises(ConfigError, match="a form of its own that is not documented"):
        explain(outcome.folder, out, "force_float16")
    told = explain(outcome.folder, out, "force_float16", layers_needed=False)
    assert "a form of its own that is not documented" in told.no_layers
    assert (told.paired.images, list(told.layers)) == (48, [])
    assert (outcome.folder / "explain" / "force_float16" / "flips.parquet").is_file()
