"""A report as mm_run's own new output, so that what reads mm_run's output reads this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlubench.speed.mm_run.tool.results import (
    Averages,
    Device,
    DeviceMeters,
    Meter,
    Model,
    Performance,
    Report,
    ShapeGroup,
    Spread,
    Stage,
    Tensor,
)

#: Where the values begin, for labels that leave room.
_LABEL = 30
#: mm_run's titles of the stages, in its order, and their names in a ShapeGroup.
STAGES = {
    "H2D Summary": "h2d",
    "MLU Compute (Launch jobs) Summary": "compute",
    "D2H Summary": "d2h",
    "Total Latency Summary(H2D + Compute + D2H)": "total",
}
#: mm_run's labels of the clocks and their names in a Stage and an Average.
CLOCKS = {
    "Latency(host clock, ms)": "host",
    "Latency(dev clock, ms)": "dev",
    "Interface Duration(ms)": "interface",
}


def to_text(report: Report) -> str:
    """Return a report in mm_run's new form, whatever form it was read from.

    Numbers have mm_run's digits: six, and five in distributions and averages (``%g``).
    """
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"={_section('Parameter Information')}"
    for parameter in report.parameters:
        name = f"--{parameter.name}" + (f"<{parameter.kind}>" if parameter.kind else "")
        yield f"{name:<{_LABEL}}: {parameter.value}".rstrip()
    versions = report.versions
    for label, number in (
        ("MagicMind", versions.magicmind),
        ("CNRT", versions.cnrt),
        ("CNAPI", versions.cnapi),
        ("PID", versions.pid),
    ):
        if number is not None:
            yield f"{label}: {number}"
    if report.model is not None:
        yield from _model(report.model)
    for device in report.devices:
        yield from _device(device)
    for timing in report.timings:
        yield f"{timing.what} time is {timing.milliseconds:g} ms."
    if report.host:
        yield _section("Host Occupancy Summary")
        yield from map(_meter, report.host)
    yield from _meters("Utilization", report.utilization)
    yield from _meters("PMU", report.pmu)
    yield from _performance(report.performance)


def _section(title: str) -> str:
    return f"{'=' * 19} {title}"


def _labelled(label: str, value: object) -> str:
    return f"{label + ':':<{_LABEL - 1}} {value}"


def dims_text(dims: Iterable[int]) -> str:
    """Return dimensions as mm_run prints them: ``[1, 3, 224, 224]``."""
    return f"[{', '.join(map(str, dims))}]"


def _model(model: Model) -> Iterator[str]:
    yield _section("Model Information")
    if model.size is not None:
        yield f"Size:     {model.size}"
    yield f"Input num: {len(model.inputs)}"
    yield from _tensors("Input info", model.inputs)
    yield from _tensors("Output info", model.outputs)


def _tensors(title: str, tensors: tuple[Tensor, ...]) -> Iterator[str]:
    yield f"{title} ["
    for tensor in tensors:
        yield f"{tensor.name:<18}: {dims_text(tensor.dims)}, {tensor.dtype}"
    yield "]"


def _device(device: Device) -> Iterator[str]:
    yield _section("Device Information")
    yield _labelled("Device ID", device.number)
    for label, text in device.facts:
        yield _labelled(label, text)


def _meters(kind: str, devices: tuple[DeviceMeters, ...]) -> Iterator[str]:
    for device in devices:
        yield _section(f"Device {device.device} {kind} Summary")
        yield from map(_meter, device.meters)


def _meter(meter: Meter) -> str:
    return _labelled(meter.label, _spread(meter.spread))


def _spread(spread: Spread) -> str:
    names = ("min", "max", "mean", "median")
    values = (spread.least, spread.greatest, spread.mean, spread.median)
    columns = [f"{name}: {f'{value:.5g}':<10} " for name, value in zip(names, values, strict=True)]
    percentiles = ((90, spread.p90), (95, spread.p95), (99, spread.p99))
    shares = [
        f"({percent}%) {f'{value:.5g}':<10} " for percent, value in percentiles if value is not None
    ]
    return ("".join(columns) + ("percentile: " + "".join(shares) if shares else "")).rstrip()


def _performance(performance: Performance) -> Iterator[str]:
    yield _section("Performance Summary")
    yield _labelled("Total iterations", performance.iterations)
    yield _labelled("Host wall time(s)", f"{performance.wall_seconds:g}")
    for clock, seconds in (
        ("host", performance.compute_seconds_host),
        ("dev", performance.compute_seconds_dev),
    ):
        if seconds is not None:
            yield _labelled(f"Total MLU compute time({clock} clock, s)", f"{seconds:g}")
    yield _labelled("Throughput (qps)", _throughput(performance))
    for group in performance.groups:
        yield from _group(group)
    if performance.averages is not None:
        yield from _averages(performance.averages)


def _throughput(performance: Performance) -> str:
    text = f"{performance.qps:g}"
    if performance.total_batch is None or performance.iterations_per_second is None:
        return text
    return (
        f"{text} with total batch sizes: {performance.total_batch} and "
        f"{performance.iterations_per_second:g} iterations/second"
    )


def _group(group: ShapeGroup) -> Iterator[str]:
    shapes = ", ".join(f"{name}: {dims_text(dims)}" for name, dims in group.shapes)
    yield f"Input shape group {group.index}: [{shapes}]"
    for title, name in STAGES.items():
        stage: Stage = getattr(group, name)
        if stage == Stage():
            continue
        yield f"  {title}:"
        for label, clock in CLOCKS.items():
            spread: Spread | None = getattr(stage, clock)
            if spread is not None:
                yield _labelled(f"  {label}", _spread(spread))


def _averages(averages: Averages) -> Iterator[str]:
    threads = averages.runs_per_thread
    suffix = "" if threads is None else f" ({threads} per thread)"
    yield f"Trace average MLU Compute perf over {averages.runs} runs{suffix}:"
    for row in averages.rows:
        columns = [
            f"{label}: {f'{value:.5g}':<11} "
            for label, clock in CLOCKS.items()
            if (value := getattr(row, clock)) is not None
        ]
        yield f"  {''.join(columns)}".rstrip()
