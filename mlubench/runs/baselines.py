"""Baselines: the run that another is judged by, pinned, last good or published.

``OUT/history/baselines.json`` holds the pinned ones, one for each network, dataset, engine and set
of precisions. ``OUT/history/verdicts/<run_id>.json`` holds what a flow said of a run, which decides
whether it is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from mlubench.errors import ConfigError, StoreError
from mlubench.metrics.verdict import Verdict
from mlubench.runs.lookup import RunFacts, all_facts, find_run, read_facts
from mlubench.runs.record import Record
from mlubench.runs.verdict import GateRecord
from mlubench.store import locked, write_json

PINNED = "pinned"
LAST_GOOD = "last-good"
_GOOD = (Verdict.PASS, Verdict.NOT_JUDGED)
#: What ``mlubench compare`` said of a run, in the run's folder.
JUDGEMENT_FILE = "verdict.json"

#: Given in place of a baseline's folder.
PUBLISHED = "published"


class Pin(Record):
    """A pinned run.

    Attributes:
        run_id: below OUT/runs.
        kind: ``evaluation`` or ``benchmark``.
        model: the network's name.
        dataset: the images' name; empty of a benchmark.
        engine: the engine's name.
        precisions: all of them, sorted.
        pinned_utc: since when.
    """

    run_id: str
    kind: Literal["evaluation", "benchmark"]
    model: str
    dataset: str
    engine: str
    precisions: tuple[str, ...]
    pinned_utc: AwareDatetime

    @property
    def key(self) -> tuple[str, ...]:
        """Equal to that of the runs that it is the baseline of."""
        return (self.kind, self.model, self.dataset, self.engine, " ".join(self.precisions))


class PinChange(Record):
    """A baseline that was pinned, or unpinned, on some host.

    Attributes:
        key: what it is the baseline of; see :class:`Pin`.
        pin: the pinned run; None where none is any more.
    """

    key: tuple[str, ...]
    pin: Pin | None


class VerdictRecord(Record):
    """What was said of a run.

    Attributes:
        run_id: the run.
        baseline: what it was judged by.
        verdict: the worst of all gates.
        gates: all of them.
        remarks: what else differs from the baseline, a sentence each.
    """

    run_id: str
    baseline: str
    verdict: Verdict
    gates: tuple[GateRecord, ...]
    remarks: tuple[str, ...] = ()


def pin(run: str, out: Path) -> Pin:
    """Make a run the baseline of those like it, in place of the one before.

    Args:
        run: path or id of a run below OUT/runs.
        out: folder of runs and caches.

    Raises:
        ConfigError: there is no such run, or it lies elsewhere.
        StoreError: the baselines cannot be read or written.
    """
    folder = find_run(run, out)
    if folder.resolve().parent != (out / "runs").resolve():
        raise ConfigError(
            "does not lie below OUT/runs, where a baseline is looked for",
            where=run,
            expected=str(out / "runs"),
            fix="give --out, or copy the run there",
        )
    facts = read_facts(folder)
    one = Pin(
        run_id=folder.name,
        kind="benchmark" if facts.kind == "benchmark" else "evaluation",
        model=facts.model,
        dataset=facts.dataset,
        engine=facts.engine,
        precisions=facts.precisions,
        pinned_utc=datetime.now(UTC),
    )
    with locked(_lock(out)):
        _write_pins([*(pin for pin in pins(out) if pin.key != one.key), one], out)
    return one


def unpin(run: str, out: Path) -> Pin:
    """Make a run no baseline any more.

    Args:
        run: path or id; the run itself may be gone.
        out: folder of runs and caches.

    Raises:
        ConfigError: it is not pinned.
        StoreError: the baselines cannot be read or written.
    """
    name = Path(run).name
    with locked(_lock(out)):
        kept = pins(out)
        found = [pin for pin in kept if pin.run_id == name]
        if not found:
            raise ConfigError(
                "is not pinned",
                where=run,
                expected="one of " + (", ".join(pin.run_id for pin in kept) or "none: no run is"),
                fix="see mlubench baseline list",
            )
        _write_pins([pin for pin in kept if pin.run_id != name], out)
    return found[0]


def apply_pins(changes: Sequence[PinChange], out: Path) -> None:
    """Do here what was pinned and unpinned on other hosts.

    Raises:
        StoreError: the baselines cannot be read or written.
    """
    changed = {change.key for change in changes}
    with locked(_lock(out)):
        before = pins(out)
        kept = [pin for pin in before if pin.key not in changed]
        after = [*kept, *(change.pin for change in changes if change.pin is not None)]
        if sorted(after, key=_pin_order) != sorted(before, key=_pin_order):
            _write_pins(after, out)


def _pin_order(pin: Pin) -> tuple[str, ...]:
    return pin.key


def pins(out: Path) -> list[Pin]:
    """Return the pinned runs, by what they are the baseline of.

    Raises:
        StoreError: the file is damaged.
    """
    path = _pins_file(out)
    try:
        return TypeAdapter(list[Pin]).validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        raise StoreError(
            f"cannot be read: {error}",
            where=str(path),
            expected="what mlubench baseline pin wrote",
            fix="move the file away and pin the baselines again",
        ) from error


def recorded_verdict(run_id: str, out: Path) -> VerdictRecord | None:
    """Return what was said of a run, if anything was.

    Raises:
        StoreError: the file is damaged.
    """
    path = verdict_path(run_id, out)
    return VerdictRecord.read(path) if path.is_file() else None


def judgement_of(folder: Path) -> VerdictRecord | None:
    """Return what was last said of a run: by ``mlubench compare``, or else by a flow.

    Args:
        folder: the run folder, below OUT/runs where a flow judged it.

    Raises:
        StoreError: a file is damaged.
    """
    path = folder / JUDGEMENT_FILE
    if path.is_file():
        return VerdictRecord.read(path)
    return recorded_verdict(folder.name, folder.resolve().parent.parent)


def find_baseline(run: Path, which: str, out: Path) -> Path | None:
    """Return the folder of a run's baseline, or None where there is none (yet).

    Args:
        run: the folder of the run to judge.
        which: ``pinned``; ``last-good``, the newest older run of the same options that nothing
            was said against; or a run's path or id.
        out: folder of runs and caches.

    Raises:
        ConfigError: a run is named that is not there, or a pinned one is gone.
        StoreError: a file is damaged.
    """
    if which == PINNED:
        key = read_facts(run).key
        found = [pin for pin in pins(out) if pin.key == key]
        return find_run(found[0].run_id, out) if found else None
    if which == LAST_GOOD:
        facts = read_facts(run)
        good = [other for other in all_facts(out) if is_older_and_good(other, facts, out)]
        return max(good, key=_age).folder if good else None
    return find_run(which, out)


def is_older_and_good(other: RunFacts, facts: RunFacts, out: Path) -> bool:
    """Whether a run may be the last good one of another: like it, older, nothing said against it.

    Raises:
        StoreError: what was said of it is damaged.
    """
    if (other.key, other.options) != (facts.key, facts.options) or _age(other) >= _age(facts):
        return False
    said = recorded_verdict(other.run_id, out)
    return (said.verdict if said else other.verdict) in _GOOD


def _age(facts: RunFacts) -> tuple[datetime, str]:
    return (facts.created_utc, facts.run_id)


def _pins_file(out: Path) -> Path:
    return out / "history" / "baselines.json"


def verdict_path(run_id: str, out: Path) -> Path:
    """Return the file of a flow's verdict on a run."""
    return out / "history" / "verdicts" / f"{run_id}.json"


def _lock(out: Path) -> Path:
    return out / "history" / ".lock"


def _write_pins(kept: Sequence[Pin], out: Path) -> None:
    ordered = sorted(kept, key=_pin_order)
    write_json(_pins_file(out), [pin.model_dump(mode="json") for pin in ordered])
