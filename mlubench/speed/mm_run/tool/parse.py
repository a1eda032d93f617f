"""mm_run's output, of the old and the new generation, as a report.

Lines are recognised by what they say, not by where they stand: the tool's log, and that of the
libraries under it, stands between them. What is not recognised is left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from mlubench.errors import EngineError
from mlubench.speed.mm_run.tool.results import (
    Average,
    Averages,
    Device,
    DeviceMeters,
    Meter,
    Model,
    Parameter,
    Performance,
    Report,
    ShapeGroup,
    Spread,
    Stage,
    Tensor,
    Timing,
    Versions,
)
from mlubench.speed.mm_run.tool.text import CLOCKS, STAGES

#: ``%g``, and what it makes of numbers that are none.
_NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan))"
_SECTION = re.compile(r"^={5,}\s*(.*?)\s*=*\s*$")
_PARAMETER = re.compile(r"^--(\w+)(?:<(\S+)>)?\s*:\s?(.*)$")
_OLD_PARAMETER = re.compile(r"^([a-z][a-z_ ]*): ?(.*)$")
_VERSION = re.compile(r"^(MagicMind|CNRT|CNAPI|PID): (\d+)$")
_TENSOR = re.compile(r"^(.+?)\s*: \[([-\d, ]*)\], (\w+)$")
_FACT = re.compile(r"^([A-Z][\w /()]*):\s+(\S.*)$")
_TIMING = re.compile(rf"^(?:.*\]\s+)?([\w ]+?) time is {_NUMBER} ms\.?$")
_SPREAD = re.compile(
    rf"^\s*(\S.*?):\s+min: {_NUMBER}\s+max: {_NUMBER}\s+mean: {_NUMBER}\s+median: {_NUMBER}"
    rf"(?:\s+percentile: \(90%\) {_NUMBER}\s+\(95%\) {_NUMBER}\s+\(99%\) {_NUMBER})?\s*$"
)
_OLD_METER_DEVICE = re.compile(r"^dev(\d+)_")
_GROUP = re.compile(r"^Input shape group (\d+): \[(.*)\]$")
_SHAPE = re.compile(r"(\S.*?): \[([-\d, ]*)\](?:, |$)")
_THROUGHPUT = re.compile(
    rf"^Throughput \(qps\):\s*{_NUMBER}"
    rf"(?: with total batch sizes: (\d+) and {_NUMBER} iterations/second)?"
)
_TOTAL = re.compile(
    rf"^(Total iterations|Iterations|Host wall time\(s\)|Host Wall Time \(s\)|"
    rf"MLU Compute Time \(s\)|Total MLU compute time\((?:host|dev) clock, s\)):\s*{_NUMBER}\s*$"
)
_AVERAGES = re.compile(r"^Trace average.* (\d+) runs(?: \((\d+) per thread\))?:$")
_AVERAGE = re.compile(rf"(\S[^:]*?): {_NUMBER}")

#: The old output's lines of latency: stage and clock.
_OLD_STAGES = {
    "Enqueue Time (ms)": ("compute", "interface"),
    "H2D Latency (ms)": ("h2d", "dev"),
    "MLU Compute Latency (ms)": ("compute", "dev"),
    "D2H Latency (ms)": ("d2h", "dev"),
}
_OLD_AVERAGES = {"MLU Compute Latency (ms)": "dev", "Enqueue": "interface"}

#: A section's title and its lines.
_Section = tuple[str, list[str]]


def parse_report(text: str, where: str = "mm_run's output") -> Report:
    """Return the report that an output of one run holds.

    Args:
        text: everything that mm_run printed.
        where: names it in errors.

    Raises:
        EngineError: there is no performance summary with a throughput in it, or several; or a
            number is garbled.
    """
    try:
        return _report(text, where)
    except ValueError as error:
        raise _unreadable(f"it is garbled: {error}", where) from error


def _report(text: str, where: str) -> Report:
    lines = [line.rstrip() for line in text.splitlines()]  # last columns are padded
    sections = list(_sections(lines))
    summaries = [body for title, body in sections if title == "Performance Summary"]
    if len(summaries) != 1:
        raise _unreadable(f"it has {len(summaries)} performance summaries", where)
    new = any(line.startswith("Total iterations:") for line in summaries[0])
    model = _model(sections) if new else _old_model(sections)
    performance = _performance(summaries[0], model, where)
    utilization = _by_device(sections, "Utilization") if new else _old_utilization(sections)
    return Report(
        generation="new" if new else "old",
        performance=performance,
        parameters=tuple(_parameters(sections, _PARAMETER if new else _OLD_PARAMETER)),
        versions=_versions(sections),
        model=model,
        devices=tuple(_devices(sections)),
        timings=tuple(_timings(lines)),
        host=tuple(_meters(_of(sections, "Host Occupancy Summary"))),
        utilization=utilization,
        pmu=_by_device(sections, "PMU"),
    )


def _unreadable(what: str, where: str) -> EngineError:
    return EngineError(
        what,
        where=where,
        expected="the output of one run of mm_run that came to its end, one 'Throughput (qps)'",
        fix="look at the log for what stopped it",
    )


def _sections(lines: Iterable[str]) -> Iterator[_Section]:
    title: str = ""
    body: list[str] = []
    for line in lines:
        header = _SECTION.match(line)
        if header is None:
            body.append(line)
            continue
        yield title, body
        title, body = header.group(1), []
    yield title, body


def _of(sections: Iterable[_Section], title: str) -> list[str]:
    """Return the lines of all sections of that title."""
    return [line for name, lines in sections if name == title for line in lines]


def _parameters(sections: Iterable[_Section], pattern: re.Pattern[str]) -> Iterator[Parameter]:
    for line in _of(sections, "Parameter Information"):
        found = pattern.match(line)
        if found:
            *name, value = found.groups()
            yield Parameter(name[0], (name[1:] or [""])[0] or "", value.strip())


def _versions(sections: Iterable[_Section]) -> Versions:
    lines = _of(sections, "Parameter Information")
    found = [match.groups() for match in map(_VERSION.match, lines) if match]
    return Versions(**{name.lower(): int(number) for name, number in found})


def _model(sections: Iterable[_Section]) -> Model | None:
    lines = _of(sections, "Model Information")
    if not lines:
        return None
    tensors: dict[str, list[Tensor]] = {"Input": [], "Output": []}
    size, side = None, "Input"
    for line in lines:
        if line.startswith("Size:"):
            size = int(line.partition(":")[2])
        elif line in ("Input info [", "Output info ["):
            side = line.split()[0]
        elif found := _TENSOR.match(line):
            name, dims, dtype = found.groups()
            tensors[side].append(Tensor(name, _dims(dims), dtype))
    return Model(size, tuple(tensors["Input"]), tuple(tensors["Output"]))


def _old_model(sections: Iterable[_Section]) -> Model | None:
    """Return the model of the old output, a block of lines for each buffer."""
    tensors: dict[str, list[Tensor]] = {"Input": [], "Output": []}
    side, name, dtype = "", "", ""
    for line in _of(sections, "Model Information"):
        label, _, value = (part.strip() for part in line.partition(":"))
        if label == "Buffer Info":
            side = value
        elif label == "Name":
            name = value
        elif label == "Datatype":
            dtype = value
        elif label == "Dim" and side in tensors:
            tensors[side].append(Tensor(name, _dims(value.strip("[]")), dtype))
    return Model(None, tuple(tensors["Input"]), tuple(tensors["Output"])) if side else None


def _dims(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


def _devices(sections: Iterable[_Section]) -> Iterator[Device]:
    facts = [
        match.groups() for match in map(_FACT.match, _of(sections, "Device Information")) if match
    ]
    starts = [place for place, (label, _) in enumerate(facts) if label == "Device ID"]
    for start, end in itertools.pairwise([*starts, len(facts)]):
        pairs = tuple((label, text.strip()) for label, text in facts[start + 1 : end])
        yield Device(int(facts[start][1]), pairs)


def _timings(lines: Iterable[str]) -> Iterator[Timing]:
    for line in lines:
        found = _TIMING.match(line)
        if found:
            yield Timing(found.group(1), float(found.group(2)))


def _spread(line: str) -> tuple[str, Spread] | None:
    """Return a line's label and distribution."""
    found = _SPREAD.match(line)
    if not found:
        return None
    label, least, greatest, mean, median, *percentiles = found.groups()
    p90, p95, p99 = (None if share is None else float(share) for share in percentiles)
    return label, Spread(float(least), float(greatest), float(mean), float(median), p90, p95, p99)


def _meters(lines: Iterable[str]) -> Iterator[Meter]:
    for line in lines:
        found = _spread(line)
        if found:
            yield Meter(*found)


def _by_device(sections: Iterable[_Section], kind: str) -> tuple[DeviceMeters, ...]:
    found = []
    for title, lines in sections:
        match = re.fullmatch(rf"Device (\d+) {kind} Summary", title)
        if match:
            found.append(DeviceMeters(int(match.group(1)), tuple(_meters(lines))))
    return tuple(found)


def _old_utilization(sections: Iterable[_Section]) -> tuple[DeviceMeters, ...]:
    """Return the old output's meters, whose labels begin with the device: ``dev0_chip_util``."""
    devices: dict[int, list[Meter]] = {}
    for meter in _meters(_of(sections, "Device Utilization Summary")):
        match = _OLD_METER_DEVICE.match(meter.label)
        if match:
            label = meter.label[match.end() :]
            devices.setdefault(int(match.group(1)), []).append(Meter(label, meter.spread))
    return tuple(DeviceMeters(number, tuple(meters)) for number, meters in devices.items())


def _performance(lines: list[str], model: Model | None, where: str) -> Performance:
    totals = {match.group(1): float(match.group(2)) for match in map(_TOTAL.match, lines) if match}
    throughput = next((match for match in map(_THROUGHPUT.match, lines) if match), None)
    iterations = totals.get("Total iterations", totals.get("Iterations"))
    wall = totals.get("Host wall time(s)", totals.get("Host Wall Time (s)"))
    if throughput is None or iterations is None or wall is None:
        raise _unreadable("its performance summary has no throughput, iterations or time", where)
    qps, total_batch, rate = throughput.groups()
    groups = tuple(_groups(lines))
    return Performance(
        iterations=int(iterations),
        wall_seconds=wall,
        qps=float(qps),
        compute_seconds_host=totals.get("Total MLU compute time(host clock, s)"),
        compute_seconds_dev=totals.get(
            "Total MLU compute time(dev clock, s)", totals.get("MLU Compute Time (s)")
        ),
        total_batch=None if total_batch is None else int(total_batch),
        iterations_per_second=None if rate is None else float(rate),
        groups=groups or _old_group(lines, model),
        averages=_averages(lines),
    )


def _groups(lines: Iterable[str]) -> Iterator[ShapeGroup]:
    """Return a block of latencies for each set of input shapes."""
    group: ShapeGroup | None = None
    stage = ""
    stages: dict[str, dict[str, Spread]] = {}
    for line in lines:
        header = _GROUP.match(line)
        if header:
            if group:
                yield _filled(group, stages)
            shapes = tuple((name, _dims(dims)) for name, dims in _SHAPE.findall(header.group(2)))
            group, stage, stages = ShapeGroup(int(header.group(1)), shapes), "", {}
        elif line.strip().rstrip(":") in STAGES:
            stage = STAGES[line.strip().rstrip(":")]
        elif group and stage and (found := _spread(line)) and found[0] in CLOCKS:
            stages.setdefault(stage, {})[CLOCKS[found[0]]] = found[1]
    if group:
        yield _filled(group, stages)


def _old_group(lines: Iterable[str], model: Model | None) -> tuple[ShapeGroup, ...]:
    stages: dict[str, dict[str, Spread]] = {}
    for label, spread in filter(None, map(_spread, lines)):
        if label in _OLD_STAGES:
            stage, clock = _OLD_STAGES[label]
            stages.setdefault(stage, {})[clock] = spread
    if not stages:
        return ()
    shapes = tuple((tensor.name, tensor.dims) for tensor in (model.inputs if model else ()))
    return (_filled(ShapeGroup(0, shapes), stages),)


def _filled(group: ShapeGroup, stages: dict[str, dict[str, Spread]]) -> ShapeGroup:
    filled = {name: Stage(**clocks) for name, clocks in stages.items()}
    return ShapeGroup(group.index, group.shapes, **filled)


def _averages(lines: list[str]) -> Averages | None:
    for place, line in enumerate(lines):
        header = _AVERAGES.match(line)
        if header:
            runs, per_thread = header.groups()
            rows = tuple(filter(None, map(_average, lines[place + 1 :])))
            return Averages(int(runs), None if per_thread is None else int(per_thread), rows)
    return None


def _average(line: str) -> Average | None:
    names = {**CLOCKS, **_OLD_AVERAGES}
    found = {
        names[label]: float(number) for label, number in _AVERAGE.findall(line) if label in names
    }
    return Average(**found) if found else None
