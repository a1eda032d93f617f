"""The trace against what the Trace Event Format demands."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.speed.mm_run.tool.trace import Span, chrome_trace
from tests.speed.mm_run.tool.trace_format import check_trace

SPANS = st.lists(
    st.builds(
        Span,
        device=st.sampled_from(["cpu:0", "cpu:1", "mlu:0"]),
        stream=st.integers(0, 3),
        request=st.integers(0, 10**6),
        phase=st.sampled_from(["copy in", "compute", "copy out"]),
        start=st.floats(0, 1e4),
        seconds=st.floats(0, 10),
    ),
    max_size=20,
)


@given(SPANS)
def test_it_has_the_form_and_loses_nothing(spans: list[Span]) -> None:
    text = chrome_trace(spans, {"network": "sample"})
    trace = json.loads(text)
    check_trace(trace)
    events = trace["traceEvents"]
    names = {
        (event["name"], event["pid"], event["tid"] if event["name"] == "thread_name" else 0): event[
            "args"
        ]["name"]
        for event in events
        if event["ph"] == "M"
    }
    found = Counter(
        (
            names["process_name", event["pid"], 0],
            names["thread_name", event["pid"], event["tid"]],
            event["args"]["request"],
            event["name"],
            event["ts"],
            event["dur"],
        )
        for event in events
        if event["ph"] == "X"
    )
    assert found == Counter(
        (
            span.device,
            f"stream {span.stream}",
            span.request,
            span.phase,
            round(span.start * 1e6, 3),
            round(span.seconds * 1e6, 3),
        )
        for span in spans
    )
    times = [event["ts"] for event in events if event["ph"] == "X"]
    assert times == sorted(times)
    assert text == chrome_trace(spans[::-1], {"network": "sample"})


def test_seconds_are_microseconds() -> None:
    trace = json.loads(chrome_trace([Span("cpu:0", 0, 7, "compute", 0.5, 0.0020001)]))
    assert trace["traceEvents"][-1] == {
        "ph": "X",
        "name": "compute",
        "cat": "request",
        "pid": 0,
        "tid": 0,
        "ts": 500_000.0,
        "dur": 2000.1,
        "args": {"request": 7},
    }


@pytest.mark.parametrize(("start", "seconds"), [(-1.0, 1.0), (0.0, -1.0), (float("nan"), 1.0)])
def test_no_time(start: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="no time"):
        chrome_trace([Span("cpu:0", 0, 0, "compute", start, seconds)])
