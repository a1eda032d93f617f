"""``mlubench baseline``: which runs others are judged by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from mlubench.cli.artifacts import brought_run, depot_of
from mlubench.cli.console import console

if TYPE_CHECKING:
    from mlubench.depot.depot import Depot
    from mlubench.pipeline.baselines import Pin

app = App(name="baseline", help="Pin the runs that others are judged by, and list them.")

_Run = Annotated[str, Parameter(help="folder of a run, or its id")]
_Out = Annotated[Path, Parameter(help="folder of runs and caches")]
_Shared = Annotated[
    str | None, Parameter(help="store that hosts share: baselines are pinned for all of them")
]
_ARTIFACTS = Path("artifacts")


@app.command
def pin(run: _Run, *, artifacts: _Shared = None, out: _Out = _ARTIFACTS) -> int:
    """Make a run the baseline of those with its network, images, engine and precisions."""
    from mlubench.pipeline import baselines

    depot = _with_pins(artifacts, out)
    one = baselines.pin(brought_run(run, out, artifacts), out)
    _tell(depot, out, one, pinned=True)
    console().print(f"pinned {one.run_id}, {_of(one.key)}", markup=False, soft_wrap=True)
    return 0


@app.command
def unpin(run: _Run, *, artifacts: _Shared = None, out: _Out = _ARTIFACTS) -> int:
    """Make a run no baseline any more."""
    from mlubench.pipeline import baselines

    depot = _with_pins(artifacts, out)
    one = baselines.unpin(run, out)
    _tell(depot, out, one, pinned=False)
    console().print(f"unpinned {one.run_id}, {_of(one.key)}", markup=False, soft_wrap=True)
    return 0


@app.command(name="list")
def list_pins(*, artifacts: _Shared = None, out: _Out = _ARTIFACTS) -> int:
    """List the pinned runs and what they are the baseline of."""
    from mlubench.pipeline import baselines

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
        from mlubench.pipeline.shared_runs import pull_pins

        pull_pins(depot, out)
    return depot


def _tell(depot: Depot | None, out: Path, pin: Pin, *, pinned: bool) -> None:
    if depot is not None:
        from mlubench.pipeline.shared_runs import push_pin

        push_pin(depot, out, pin, pinned=pinned)


def _of(key: tuple[str, ...]) -> str:
    """Return what a pinned run is the baseline of, in a few words."""
    kind, model, dataset, engine, precisions = key
    on = f" on {dataset}" if dataset else ""
    return f"{kind}s of {model}{on}, {engine}, {precisions.replace(' ', ', ')}"
