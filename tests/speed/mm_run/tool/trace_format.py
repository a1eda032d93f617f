"""What the Trace Event Format demands of a trace."""

from __future__ import annotations

from typing import Any

#: Trace Event Format (Chromium, catapult): fields and their types, by the phase of an event.
#: ts and dur are microseconds; pid and tid are numbers; args is an object.
_COMMON: dict[str, Any] = {"ph": str, "name": str, "pid": int, "tid": int, "args": dict}
_COMPLETE = {**_COMMON, "cat": str, "ts": (int, float), "dur": (int, float)}
#: Metadata events: their names and what their argument is.
_METADATA = {"process_name", "thread_name"}


def check_trace(trace: dict[str, Any]) -> None:
    """Fail where a trace has not the form."""
    assert trace["displayTimeUnit"] in ("ms", "ns")
    assert isinstance(trace["otherData"], dict)
    for event in trace["traceEvents"]:
        fields = _COMPLETE if event["ph"] == "X" else _COMMON
        assert set(event) == set(fields)
        for name, kind in fields.items():
            assert isinstance(event[name], kind)
        if event["ph"] == "M":
            assert event["name"] in _METADATA
            assert isinstance(event["args"]["name"], str)
        else:
            assert event["ph"] == "X"
            assert min(event["ts"], event["dur"]) >= 0
