"""``mlubench explain``: why a precision answers otherwise, and what would mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mlubench.cli.console import console
from mlubench.errors import ConfigError


def explain(
    run: Annotated[str, Parameter(help="folder of an evaluation, or its id")],
    *,
    precision: Annotated[
        str | None, Parameter(help="which of its precisions (default: the largest drop)")
    ] = None,
    baseline: Annotated[
        str | None,
        Parameter(help="a run to compare with, in place of force_float32 of the same run"),
    ] = None,
    images: Annotated[int, Parameter(help="scored images on which layers are compared")] = 32,
    budget: Annotated[
        float | None,
        Parameter(help="points of top-1 that may be lost: search for the layers to keep in float"),
    ] = None,
    out: Annotated[Path, Parameter(help="folder of runs and caches")] = Path("artifacts"),
) -> int:
    """Show which images flipped, which classes lost, and which layers differ most.

    Layers are named as in the network; how far each lies from the reference is its signal-to-noise
    ratio over all images, worst first. With --budget the worst layers are kept in float, as few as
    will do, and the command that compiles such a network is printed; what was evaluated is kept,
    so that a search goes on where it was. Everything is written to RUN/explain/PRECISION too, and
    shown on the run's page.
    """
    from mlubench.explain import explain as explaining
    from mlubench.explain.curve import render_fallback
    from mlubench.explain.explanation import render_explanation
    from mlubench.explain.keep_float import fallback_of_run
    from mlubench.report.page import page_again
    from mlubench.runs.lookup import find_run

    if budget is not None and (baseline is not None or not 0 <= budget <= 100):
        raise ConfigError(
            f"is {budget:g}" if baseline is None else "goes with force_float32 of the same run",
            where="--budget",
            expected="points, 0 to 100, without --baseline",
        )
    folder = find_run(run, out)
    explained = explaining.explain(
        folder,
        out,
        precision,
        baseline=None if baseline is None else find_run(baseline, out),
        images=images,
    )
    screen, errors = console(), Console(stderr=True, highlight=False, soft_wrap=True)
    screen.print(render_explanation(explained))
    if budget is not None:
        found = fallback_of_run(
            folder, out, explained.precision, budget / 100, images, errors.print
        )
        screen.print()
        screen.print(render_fallback(found))
        if found.command:
            screen.print(found.command, markup=False, soft_wrap=True)
    if trouble := page_again(folder):
        errors.print(trouble, markup=False)
    place = folder / "explain" / explained.precision
    screen.print(f"\nwritten to {place}", markup=False, soft_wrap=True)
    return 0
