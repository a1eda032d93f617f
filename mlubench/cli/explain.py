"""``mlubench explain``: why a precision answers otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

_WIDTH = 100


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
    out: Annotated[Path, Parameter(help="folder of runs and caches")] = Path("artifacts"),
) -> int:
    """Show which images flipped, which classes lost, and which layers differ most.

    Layers are named as in the network; how far each lies from the reference is its signal-to-noise
    ratio over all images, worst first. Everything is written to RUN/explain/PRECISION too.
    """
    from mlubench.pipeline import explain as explaining
    from mlubench.pipeline.runs import find_run
    from mlubench.reports.explanation import render_explanation

    folder = find_run(run, out)
    explained = explaining.explain(
        folder,
        out,
        precision,
        baseline=None if baseline is None else find_run(baseline, out),
        images=images,
    )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(render_explanation(explained))
    place = folder / "explain" / explained.precision
    console.print(f"\nwritten to {place}", markup=False, soft_wrap=True)
    return 0
