"""Both outputs of mm_run against the documented samples, and reading back what is written."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlubench.errors import EngineError
from mlubench.speed.mm_run.tool.parse import parse_report
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
from mlubench.speed.mm_run.tool.text import to_text
from tests.speed.mm_run.tool.samples import NEW, OLD, with_log


def test_the_old_output() -> None:
    report = parse_report(OLD)
    assert report.generation == "old"
    performance = report.performance
    assert (performance.iterations, performance.wall_seconds) == (1000, 5.16875)
    assert (performance.qps, performance.compute_seconds_dev) == (193.47, 5.15559)
    assert (performance.total_batch, performance.compute_seconds_host) == (None, None)
    (group,) = performance.groups
    assert group.shapes == (("data", (1, 224, 224, 3)),)
    assert group.h2d.dev == Spread(0.07375, 0.0975, 0.07883, 0.07875, 0.08125, 0.0825, 0.08375)
    assert group.compute.dev == Spread(5.146, 5.173, 5.1556, 5.155, 5.16, 5.161, 5.164)
    assert group.compute.interface == Spread(0.4481, 5.958, 0.5108, 0.5291, 0.5395, 0.5454, 0.6365)
    assert group.d2h.dev == Spread(0.0175, 0.03, 0.01849, 0.0175, 0.01875, 0.02625, 0.02625)
    assert (group.total, group.h2d.host) == (Stage(), None)
    assert performance.averages == Averages(
        100, None, (Average(dev=5.157, interface=0.41), Average(dev=5.156, interface=0.42))
    )
    assert report.model == Model(
        None,
        (Tensor("data", (1, 224, 224, 3), "FLOAT"),),
        (Tensor("dense0", (1, 1000), "FLOAT"),),
    )
    (device,) = report.devices
    assert (device.number, device.clock_rate) == (0, "1 (GHz)")
    assert device.fact("Cluster Number") == "6"
    assert len(device.facts) == 4
    assert report.utilization == (
        DeviceMeters(
            0,
            (
                Meter("chip_util(%)", Spread(8.75, 25, 24, 25)),
                Meter("power_info(W)", Spread(38.75, 47.5, 46.38, 46.25)),
            ),
        ),
    )
    assert report.timings == (Timing("CreateModel", 2429), Timing("dev_0_thread_0_warm_up", 212))
    assert Parameter("warm_up", "", "200") in report.parameters
    assert Parameter("devices", "", "0") in report.parameters
    assert len(report.parameters) == 7


def test_the_new_output() -> None:
    report = parse_report(with_log())
    assert report.generation == "new"
    performance = report.performance
    assert (performance.iterations, performance.wall_seconds) == (14466, 3.00164)
    assert performance.compute_seconds_host == 1.26222
    assert performance.compute_seconds_dev == 0.9125
    assert (performance.qps, performance.total_batch) == (28916.2, 86796)
    assert performance.iterations_per_second == 4819.36
    first, second = performance.groups
    assert first.shapes == (("main/arg:0", (1, 3, 64, 64)), ("main/arg:1", (9, 3, 128, 128)))
    assert second.shapes == (("main/arg:0", (3, 3, 256, 256)), ("main/arg:1", ()))
    assert (first.index, second.index) == (0, 1)
    assert first.h2d == Stage(
        Spread(0.12, 1.053, 0.36809, 0.326, 0.651, 0.716, 0.808),
        Spread(0.15, 1.295, 0.443, 0.39, 0.7888, 0.8712, 0.9813),
        Spread(0.02, 0.13, 0.03524, 0.03125, 0.04875, 0.05625, 0.08),
    )
    assert first.total.host == Spread(0.465, 2.355, 1.082, 1.057, 1.505, 1.636, 1.8)
    assert first.compute.dev is None
    assert second.h2d.host == Spread(0.2125, 1.232, 0.4546, 0.4188, 0.7262, 0.8125, 0.9387)
    assert second.total == Stage()
    assert performance.averages == Averages(
        100,
        50,
        (Average(0.0912, 0.0634, 0.0511), Average(0.0853, 0.0621, 0.0439)),
    )
    assert report.versions == Versions(11534336, 50801, 10803, 12345)
    assert report.parameters[:3] == (
        Parameter("magicmind_model", "Str", "model2"),
        Parameter("input_dims", "Vec<Vec<Int>>", "1,2,3,4 _ 5,6,7"),
        Parameter("batch_size", "Vec<Int>", ""),
    )
    assert report.model is not None
    assert report.model.size == 4096
    assert report.model.inputs == (Tensor("input0", (-1, -1, -1, -1), "FLOAT"),)
    (device,) = report.devices
    assert (device.clock_rate, len(device.facts)) == ("1 (GHz)", 3)
    assert [meter.label for meter in report.host] == ["UserMode Occupancy(%)"]
    assert report.utilization[0].meters[0].spread.mean == 1805
    assert report.pmu[0].meters[0].spread.p99 == 715.1
    assert report.timings == (Timing("DeserializeModel", 1234.56), Timing("CreateEngine 0", 0.375))


def test_the_documented_layout_is_written_to_the_byte() -> None:
    assert to_text(parse_report(NEW)) == NEW


@pytest.mark.parametrize("text", [OLD, NEW], ids=["old", "new"])
def test_the_samples_scripts_find_their_line(text: str) -> None:
    """Cambricon's compare_perf.py and shell scripts look for this, the last of which counts."""
    written = to_text(parse_report(text))
    lines = [line for line in written.splitlines() if "Throughput (qps)" in line]
    assert len(lines) == 1
    assert float(lines[0].split(":")[1].split()[0]) == parse_report(text).performance.qps


def test_old_output_written_anew_says_the_same() -> None:
    old = parse_report(OLD)
    new = parse_report(to_text(old))
    assert new.generation == "new"
    assert new.performance == old.performance
    assert (new.devices, new.utilization, new.model) == (old.devices, old.utilization, old.model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 performance summaries"),
        (NEW.replace("Size:", "Size: x"), "it is garbled"),
        ("[MMINFO] CreateModel failed", "0 performance summaries"),
        (NEW + NEW, "2 performance summaries"),
        (re.sub("Throughput.*\n", "", OLD), "no throughput"),
        (NEW.replace("Total iterations:", "Total:"), "no throughput, iterations or time"),
    ],
)
def test_what_is_no_whole_output(text: str, message: str) -> None:
    with pytest.raises(EngineError, match=rf"^run.log: .*{message}") as raised:
        parse_report(text, "run.log")
    assert "look at the log" in str(raised.value)


@pytest.mark.parametrize("text", [OLD, NEW], ids=["old", "new"])
def test_spaces_at_the_ends_of_lines_change_nothing(text: str) -> None:
    """The tools pad their last columns."""
    spaced = re.sub(r"$", "   ", text, flags=re.MULTILINE).replace("\n", "\r\n")
    assert parse_report(spaced) == parse_report(text)


def test_numbers_as_percent_g_makes_them() -> None:
    text = NEW.replace("28916.2 with", "1e+06 with").replace("mean: 0.36809", "mean: 1.2e-05")
    performance = parse_report(text).performance
    assert performance.qps == 1e6
    assert performance.groups[0].h2d.host is not None
    assert performance.groups[0].h2d.host.mean == 1.2e-05


def _digits(count: int) -> st.SearchStrategy[float]:
    return st.floats(0, 1e12).map(lambda value: float(f"{value:.{count}g}"))


_FIVE, _SIX = _digits(5), _digits(6)
_WORD = st.from_regex(r"[A-Za-z][\w/.]*(?::\d)?", fullmatch=True)
_DIMS = st.lists(st.integers(-1, 4096), max_size=5).map(tuple)
_SPREAD = st.one_of(
    st.builds(Spread, *[_FIVE] * 7), st.builds(Spread, *[_FIVE] * 4, *[st.none()] * 3)
)
_STAGE = st.builds(Stage, *[st.none() | _SPREAD] * 3)
_SHAPES = st.lists(st.tuples(_WORD, _DIMS), max_size=3).map(tuple)
_AVERAGE = st.builds(Average, *[st.none() | _FIVE] * 3).filter(lambda row: row != Average())
_BATCH = st.one_of(st.tuples(st.none(), st.none()), st.tuples(st.integers(0, 10**9), _SIX))


@st.composite
def _performances(draw: st.DrawFn) -> Performance:
    total, rate = draw(_BATCH)
    groups = draw(st.integers(0, 3))
    averages = st.builds(
        Averages,
        st.integers(1, 10**6),
        st.none() | st.integers(1, 10**6),
        st.lists(_AVERAGE, max_size=3).map(tuple),
    )
    return Performance(
        iterations=draw(st.integers(1, 10**9)),
        wall_seconds=draw(_SIX),
        qps=draw(_SIX),
        compute_seconds_host=draw(st.none() | _SIX),
        compute_seconds_dev=draw(st.none() | _SIX),
        total_batch=total,
        iterations_per_second=rate,
        groups=tuple(
            draw(st.builds(ShapeGroup, st.just(index), _SHAPES, *[_STAGE] * 4))
            for index in range(groups)
        ),
        averages=draw(st.none() | averages),
    )


def _several(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(strategy, max_size=2).map(tuple)


_METERS = st.lists(
    st.builds(Meter, st.sampled_from(["chip_util(%)", "DRAM read(MB/s)"]), _SPREAD),
    min_size=1,
    max_size=2,
).map(tuple)
_TENSOR = st.builds(Tensor, _WORD, _DIMS, st.sampled_from(["UINT8", "FLOAT", "HALF"]))
_FACTS = _several(
    st.tuples(
        st.sampled_from(["Cluster Number", "MLU Core Clock Rate"]),
        st.sampled_from(["6", "1 (GHz)", "OpenVINO 2026.4 on cpu:0"]),
    )
)
_NUMBER = st.none() | st.integers(0, 2**40)
_KINDS = st.sampled_from(["Str", "Vec<Vec<Int>>", "Bool", ""])
_VALUES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=30)
REPORTS = st.builds(
    Report,
    generation=st.just("new"),
    performance=_performances(),
    parameters=_several(
        st.builds(Parameter, st.from_regex(r"[a-z_]{1,40}", fullmatch=True), _KINDS, _VALUES)
    ),
    versions=st.builds(Versions, _NUMBER, _NUMBER, _NUMBER, _NUMBER),
    model=st.none()
    | st.builds(Model, st.none() | st.integers(0, 2**40), _several(_TENSOR), _several(_TENSOR)),
    devices=_several(st.builds(Device, st.integers(0, 15), _FACTS)),
    timings=_several(
        st.builds(Timing, st.sampled_from(["CreateEngine 0", "warmup_dev_0_thread_1"]), _SIX)
    ),
    host=_several(st.builds(Meter, st.just("VirtualMem Usage(GB)"), _SPREAD)),
    utilization=_several(st.builds(DeviceMeters, st.integers(0, 15), _METERS)),
    pmu=_several(st.builds(DeviceMeters, st.integers(0, 15), _METERS)),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(REPORTS)
def test_what_is_written_is_read_back(report: Report) -> None:
    assert parse_report(to_text(report)) == report
