"""What all pages share: their templates and filters."""

from __future__ import annotations

import shlex

import jinja2

from mlubench.devices.names import grouped
from mlubench.metrics.figures import NONE, decibels, in_points, p_text
from mlubench.presentation.drawing import DARK, LIGHT
from mlubench.presentation.text import verdict_text
from mlubench.runs.record import RunRecord

_USUAL_OUT = "artifacts"


def page_environment() -> jinja2.Environment:
    """Return how pages are rendered: all names escaped, a missing one is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mlubench.presentation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(light=LIGHT, dark=DARK)
    environment.filters["grouped"] = grouped
    environment.filters["figure"] = lambda value: NONE if value is None else f"{value:.0f}"
    environment.filters["points"] = in_points
    environment.filters["p_text"] = p_text
    environment.filters["decibels"] = decibels
    environment.filters["verdict_text"] = verdict_text
    return environment


def command(run: RunRecord, verb: str, *words: str) -> str:
    """Return a command line about a run, as a user would type it."""
    out = str(run.parameters.get("out", _USUAL_OUT))
    place = [] if out == _USUAL_OUT else ["--out", out]
    return shlex.join(["mlubench", verb, run.run_id, *words, *place])
