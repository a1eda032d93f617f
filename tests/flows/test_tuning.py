"""What ``--tune`` does to an evaluation."""

from __future__ import annotations

import os
import threading
from types import ModuleType
from typing import Any

import pytest

from mlubench.devices.pool import DevicePool
from mlubench.errors import DatasetError, EngineError
from mlubench.images.decoding.decoder import Decoding
from mlubench.runs.record import TuningRecord
from mlubench.speed.measure import batch_tuning, tuning
from tests.flows.conftest import Evaluate
from tests.support.long import long

PRECISIONS = ["force_float32", "force_float16", "qint8_mixed_float16"]
FEW: dict[str, Any] = {"precision": PRECISIONS[:1], "image_num": 40}


@pytest.fixture(scope="module")
def flow() -> ModuleType:
    """The flow's module, which takes seconds to import."""
    from flows import evaluate

    return evaluate


@pytest.fixture
def quick(flow: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches that take no time and are disturbed by nobody; one other batch, which is chosen."""
    monkeypatch.setattr(tuning, "_SECONDS", 0.01)
    monkeypatch.setattr(flow, "other_batches", lambda engine, usual: (1,))
    monkeypatch.setattr(batch_tuning, "quickest", lambda searches: 1)
    search = batch_tuning.tuned

    def undisturbed(*given: Any) -> TuningRecord:
        return search(*given).model_copy(update={"disturbed": False})

    monkeypatch.setattr(batch_tuning, "tuned", undisturbed)


@long
def test_tuning_changes_no_answer_and_is_recorded(
    run: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_SECONDS", 0.01)
    usual, tuned = run(), run(tune=True, batch_size=8)
    predictions = [one.folder / "predictions.parquet" for one in (usual, tuned)]
    assert predictions[0].read_bytes() == predictions[1].read_bytes()
    assert usual.record.tuning == {}
    assert list(tuned.record.tuning) == PRECISIONS
    for search in tuned.record.tuning.values():
        assert len(search.tried) >= 3
        assert search.tried[0].streams == len(os.sched_getaffinity(0))
        assert len({len(one.images_per_second) for one in search.tried}) == 1
    assert "tune" in tuned.record.seconds


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("few", [True, pytest.param(False, marks=long)], ids=["few", "all"])
def test_the_batch_that_was_chosen_is_the_runs_own(
    run_without_page: Evaluate, fitted: dict[str, Any], few: bool
) -> None:
    more = {**fitted, **FEW} if few else {}
    precisions = more.get("precision", PRECISIONS)
    tuned, asked = run_without_page(tune=True, **more), run_without_page(batch_size=1, **more)
    assert list(tuned.record.tuning) == [*(f"{one}, batch" for one in precisions), *precisions]
    for name in precisions:
        search = tuned.record.tuning[f"{name}, batch"]
        assert [one.batch_size for one in search.tried] == [8, 1]
        assert search.best.batch_size == 1
    assert {row.batch_size for row in tuned.rows} == {1}
    assert tuned.record.parameters["batch_size"] == 1
    assert (tuned.folder / f"{tuned.record.model.name}_force_float32_false_1").is_dir()
    predictions = [one.folder / "predictions.parquet" for one in (tuned, asked)]
    assert predictions[0].read_bytes() == predictions[1].read_bytes()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("full", ["search_batch", pytest.param("compile_network", marks=long)])
def test_what_a_device_has_no_room_for_is_left_as_usual(
    run_without_page: Evaluate,
    flow: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    full: str,
) -> None:
    works = getattr(flow, full).fn

    def no_room(*given: Any) -> Any:
        if full == "compile_network" and given[1].batch_size == 8:
            return works(*given)
        raise EngineError("card 0 has no memory left", where="loading")

    monkeypatch.setattr(flow, full, no_room)
    outcome = run_without_page(tune=True, **FEW)
    assert {row.batch_size for row in outcome.rows} == {8}
    assert "card 0 has no memory left" in capfd.readouterr().err


@pytest.mark.usefixtures("quick")
def test_images_that_cannot_be_decoded_are_told_before_anything_is_tuned(
    run: Evaluate, flow: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object, **__: object) -> None:
        raise DatasetError("is smaller than the crop", where="x.png")

    def early(*_: object) -> tuple[int, ...]:
        raise AssertionError("compiled for other batches")

    monkeypatch.setattr(Decoding, "run", cannot)
    monkeypatch.setattr(flow, "other_batches", early)
    with pytest.raises(DatasetError, match="smaller than the crop"):
        run(tune=True, **FEW)


def test_images_are_decoded_while_workers_start(
    run_without_page: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    decode, start = Decoding.run, DevicePool.__enter__

    def noted(self: Decoding, **given: Any) -> Any:
        begun.set()
        return decode(self, **given)

    def later(self: DevicePool) -> DevicePool:
        assert begun.wait(60)
        return start(self)

    monkeypatch.setattr(Decoding, "run", noted)
    monkeypatch.setattr(DevicePool, "__enter__", later)
    assert run_without_page(**FEW).exit_status == 0
