"""A run's requests as a Chrome trace, which Perfetto and chrome://tracing open.

The form is the "Trace Event Format" of the Chromium project's catapult: a JSON object with
``traceEvents``; complete events (``ph`` "X") have a beginning ``ts`` and a duration ``dur`` in
microseconds on a track, which ``pid`` and ``tid`` make; metadata events (``ph`` "M") name tracks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Phase = Literal["copy in", "compute", "copy out"]


@dataclass(frozen=True)
class Span:
    """One phase of one request.

    Attributes:
        device: that it ran on: ``cpu:0``; a process of the trace.
        stream: the thread or queue, a number from 0; a track of that process.
        request: the request's number.
        phase: what was done.
        start: seconds since the beginning of the run.
        seconds: how long it took.
    """

    device: str
    stream: int
    request: int
    phase: Phase
    start: float
    seconds: float


def chrome_trace(spans: Iterable[Span], facts: Mapping[str, str] | None = None) -> str:
    """Return spans as the text of a trace, in the order of their beginnings.

    Args:
        spans: in any order. Those on one track should not overlap but for one within the other:
            viewers nest them.
        facts: what else is to stand in the file: network, precision, versions.

    Raises:
        ValueError: a span begins before the run or has a negative duration.
    """
    ordered = sorted(spans, key=_order)
    for span in ordered:
        if not (span.start >= 0 and span.seconds >= 0):
            raise ValueError(f"a span of no time: {span}")
    processes = {name: number for number, name in enumerate(sorted({s.device for s in ordered}))}
    tracks = sorted({(processes[span.device], span.stream) for span in ordered})
    events = [_name("process_name", pid, 0, name) for name, pid in processes.items()]
    events += [_name("thread_name", pid, tid, f"stream {tid}") for pid, tid in tracks]
    events += [_complete(span, processes[span.device]) for span in ordered]
    # One event a line: a trace of a long run can be searched with a pager.
    lines = ",\n".join(json.dumps(event) for event in events)
    about = json.dumps(dict(facts or {}), sort_keys=True)
    return f'{{"displayTimeUnit": "ms", "otherData": {about}, "traceEvents": [\n{lines}\n]}}\n'


def _order(span: Span) -> tuple[float, float, str, int, int, str]:
    # The longer one first, as viewers nest; the rest makes the order the same for any input.
    return span.start, -span.seconds, span.device, span.stream, span.request, span.phase


def _complete(span: Span, pid: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.phase,
        "cat": "request",
        "pid": pid,
        "tid": span.stream,
        "ts": round(span.start * 1e6, 3),
        "dur": round(span.seconds * 1e6, 3),
        "args": {"request": span.request},
    }


def _name(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}
