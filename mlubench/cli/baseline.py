"""``mlubench baseline``: which runs others are judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

app = App(name="baseline", help="Pin the runs that others are judged by, and list them.")

_WIDTH = 100
_Run = Annotated[str, Parameter(help="folder of a run, or its id")]
_Out = Annotated[Path, Parameter(help="folder of runs and caches")]
_ARTIFACTS = Path("artifacts")


@app.command
def pin(run: _Run, *, out: _Out = _ARTIFACTS) -> int:
    """Make a run the baseline of those with its network, images, engine and precisions."""
    from mlubench.pipeline import baselines

    one = baselines.pin(run, out)
    _console().print(f"pinned {one.run_id}, {_of(one.key)}", markup=False, soft_wrap=True)
    return 0


@app.command
def unpin(run: _Run, *, out: _Out = _ARTIFACTS) -> int:
    """Make a run no baseline any more."""
    from mlubench.pipeline import baselines

    one = baselines.unpin(run, out)
    _console().print(f"unpinned {one.run_id}, {_of(one.key)}", markup=False, soft_wrap=True)
    return 0


@app.command(name="list")
def list_pins(*, out: _Out = _ARTIFACTS) -> int:
    """List the pinned runs and what they are the baseline of."""
    from mlubench.pipeline import baselines

    console = _console()
    found = baselines.pins(out)
    for one in found:
        since = f"{one.pinned_utc:%Y-%m-%d %H:%M}"
        console.print(f"{one.run_id}  since {since}", markup=False, soft_wrap=True)
        console.print(f"  {_of(one.key)}", markup=False, soft_wrap=True)
    if not found:
        console.print("no run is pinned: mlubench baseline pin RUN")
    return 0


def _of(key: tuple[str, ...]) -> str:
    """Return what a pinned run is the baseline of, in a few words."""
    kind, model, dataset, engine, precisions = key
    on = f" on {dataset}" if dataset else ""
    return f"{kind}s of {model}{on}, {engine}, {precisions.replace(' ', ', ')}"


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console
