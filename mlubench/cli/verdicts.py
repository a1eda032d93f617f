"""Whether a run is worse: ``mlubench compare``, ``baseline`` and ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import Console

from mlubench.cli.console import console
from mlubench.cli.shared_run import Artifacts, brought_run, depot_of
from mlubench.errors import StoreError
from mlubench.verdicts.thresholds import Gates

if TYPE_CHECKING:
    from mlubench.object_store.store import Depot
    from mlubench.runs.baselines import Pin
    from mlubench.verdicts.judge import Judged

_USUAL = Gates()


def compare(
    run: Annotated[str, Parameter(help="folder of the run to judge, or its id")],
    baseline: Annotated[
        str,
        Parameter(help="likewise of the run that it is judged by; or pinned, last-good, published"),
    ],
    *,
    gates: Annotated[Gates, Parameter(name="*")] = _USUAL,
    junit: Annotated[Path | None, Parameter(help="file that gets the gates as JUnit XML")] = None,
    conf: Annotated[
        tuple[Path, ...], Parameter(help="folders with a models.yaml of your own (published)")
    ] = (),
    artifacts: Artifacts = None,
    out: Annotated[Path, Parameter(help="folder of runs and caches")] = Path("artifacts"),
) -> int:
    """Judge a run by another one, gate by gate: PASS, FAIL or INCONCLUSIVE, each with its reason.

    Evaluations are compared image by image; benchmarks by the rounds of each configuration. An
    improvement never fails. RUN's page shows the verdict from then on. Exit status: 0 pass, 1 fail,
    3 inconclusive.
    """
    from mlubench.metrics.verdict import Verdict
    from mlubench.runs.lookup import find_run
    from mlubench.verdicts.judge import judge_by
    from mlubench.verdicts.junit import write_junit
    from mlubench.verdicts.table import judged_lines, render_comparison, render_gates

    run, baseline = _brought(run, baseline, out, artifacts)
    judged = judge_by(run, baseline, gates, out, conf)
    screen = console()
    # Speeds have a table of their own; below it stand those that did not pass.
    speeds = [gate for gate in judged.gates if judged.compared and gate.name == "speed"]
    if judged.compared is not None:
        screen.print(render_comparison(judged.compared))
        screen.print()
        for gate in speeds:
            if gate.verdict != Verdict.PASS:
                screen.print(f"{gate.subject}: {gate.reason}", markup=False, soft_wrap=True)
        screen.print()
    screen.print(render_gates([gate for gate in judged.gates if gate not in speeds]))
    for line in judged_lines(judged):
        screen.print(line, markup=False, soft_wrap=True)
    if trouble := _show(judged, find_run(run, out)):
        console(stderr=True).print(trouble, markup=False, soft_wrap=True)
    if junit is not None:
        write_junit(junit, [judged])
    return judged.verdict.exit_status


def _brought(run: str, baseline: str, out: Path, artifacts: str | None) -> tuple[str, str]:
    """Return the two runs by their names in OUT, taken from the store where they are not there."""
    from mlubench.runs.baselines import LAST_GOOD, PINNED, PUBLISHED
    from mlubench.runs.lookup import find_run

    run = brought_run(run, out, artifacts)
    if baseline not in (PINNED, LAST_GOOD, PUBLISHED):
        return run, brought_run(baseline, out, artifacts)
    if (depot := depot_of(artifacts)) is not None:
        from mlubench.runs.sharing import bring_baseline, pull_pins

        pull_pins(depot, out)
        bring_baseline(depot, out, find_run(run, out), baseline)
    return run, baseline


def _show(judged: Judged, folder: Path) -> str:
    """Keep the verdict in the run's folder and on its page; return why that could not be."""
    from mlubench.report.page import page_again
    from mlubench.verdicts.judge import keep_judgement

    try:
        keep_judgement(judged, folder)
    except StoreError as error:
        return f"the verdict could not be kept for the run's page: {error}"
    return page_again(folder)


pins = App(name="baseline", help="Pin the runs that others are judged by, and list them.")

_Run = Annotated[str, Parameter(help="folder of a run, or its id")]
_Out = Annotated[Path, Parameter(help="folder of runs and caches")]
_Shared = Annotated[
    str | None, Parameter(help="store that hosts share: baselines are pinned for all of them")
]
_ARTIFACTS = Path("artifacts")


@pins.command
def pin(run: _Run, *, artifacts: _Shared = None, out: _Out = _ARTIFACTS) -> int:
    """Make a run the baseline of those with its network, images, engine and precisions."""
    from mlubench.runs import baselines

    depot = _with_pins(artifacts, out)
    one = baselines.pin(brought_run(run, out, artifacts), out)
    _tell(depot, out, one, pinned=True)
    console().print(f"pinned {one.run_id}, {_of(one.key)}", markup=False, soft_wrap=True)
    return 0


@pins.command
def unpin(run: _Run, *, artifacts: _Shared = None, out: _Out = _ARTIFACTS) -> int:
    """Make a run no baseline any more."""
    from mlubench.runs import baselines

    depot = _with_pins(artifacts, out)
    one = baselines.unpin(run, out)
    _tell(depot, out, one, pinned=False)
    console().print(f"unpinned {one.run_id}, {_of(one.key)}", markup=False, soft_wrap=True)
    return 0


@pins.command(name="list")
def list_pins(*, artifacts: _Shared = None, out: _Out = _ARTIFACTS) -> int:
    """List the pinned runs and what they are the baseline of."""
    from mlubench.runs import baselines

    _with_pins(artifacts, out)
    screen = console()
    found = baselines.pins(out)
    for one in found:
        since = f"{one.pinned_utc:%Y-%m-%d %H:%M}"
        screen.print(f"{one.run_id}  since {since}", markup=False, soft_wrap=True)
        screen.print(f"  {_of(one.key)}", markup=False, soft_wrap=True)
    if not found:
        screen.print("no run is pinned: mlubench baseline pin RUN")
    return 0


def _with_pins(artifacts: str | None, out: Path) -> Depot | None:
    """Return the store that is named, once what was pinned on other hosts is pinned here."""
    depot = depot_of(artifacts)
    if depot is not None:
        from mlubench.runs.sharing import pull_pins

        pull_pins(depot, out)
    return depot


def _tell(depot: Depot | None, out: Path, pin: Pin, *, pinned: bool) -> None:
    if depot is not None:
        from mlubench.runs.sharing import push_pin

        push_pin(depot, out, pin, pinned=pinned)


def _of(key: tuple[str, ...]) -> str:
    """Return what a pinned run is the baseline of, in a few words."""
    kind, model, dataset, engine, precisions = key
    on = f" on {dataset}" if dataset else ""
    return f"{kind}s of {model}{on}, {engine}, {precisions.replace(' ', ', ')}"


def report(
    run: Annotated[
        str, Parameter(help="folder of a run, its id, or s3://bucket/prefix/runs/RUN_ID")
    ],
    *,
    artifacts: Artifacts = None,
    out: Annotated[Path, Parameter(help="folder of runs and caches")] = Path("artifacts"),
) -> int:
    """Render report.html of an evaluation again, from the Parquet files in its folder.

    Nothing is measured. The same files give the same page. A run of a store is taken into OUT.
    """
    from mlubench.report.page import write_page
    from mlubench.runs.lookup import find_run

    path = write_page(find_run(brought_run(run, out, artifacts), out))
    Console(highlight=False, soft_wrap=True, markup=False).print(str(path))
    return 0
