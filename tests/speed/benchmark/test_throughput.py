"""The rows of a benchmark: medians, intervals, percentiles and speed-ups, from made-up rounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlubench.metrics.speed import compare_speed
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.schemas import LATENCIES, THROUGHPUT
from mlubench.speed.benchmark.table import render_throughput, seed_table, throughput_cells
from mlubench.speed.benchmark.throughput import (
    Configuration,
    Measured,
    RequestTimes,
    RoundFigures,
    ThroughputRow,
    latencies_table,
    throughput_rows,
    throughput_table,
)
from tests.support.console import text_of

ROUNDS, REQUESTS = 8, 100


def _round(seconds: float, batch: int, seed: int, *, disturbed: bool = False) -> RoundFigures:
    """Return a round of requests one after the other, each about so long."""
    compute = seconds * np.random.default_rng(seed).uniform(0.9, 1.1, REQUESTS)
    return RoundFigures(
        requests=RequestTimes(
            device=["cpu:0"] * REQUESTS,
            thread=np.zeros(REQUESTS, np.int32),
            batch_size=np.full(REQUESTS, batch, np.int32),
            start=np.concatenate([[0], np.cumsum(compute)[:-1]]),
            copy_in=np.full(REQUESTS, 1e-5),
            compute=compute,
            copy_out=np.full(REQUESTS, 2e-5),
            device_seconds=np.full(REQUESTS, np.nan),
        ),
        seconds=float(compute.sum()),
        cpu_seconds=1.0,
        memory_kib=1000,
        process_threads=4,
        clock_mhz=None,
        load=0.5,
        others=0.2 if disturbed else 0.01,
        disturbed=disturbed,
        warmup_seconds=0.1,
        steady=True,
    )


def _measured(precision: str, seconds: float, batch: int = 4, *, disturbed: int = 0) -> Measured:
    configuration = Configuration(precision, batch, False, ("cpu:0",), 1, 3)
    rounds = [
        _round(seconds, batch, number, disturbed=number < disturbed) for number in range(ROUNDS)
    ]
    return Measured(configuration, precision.partition("_")[2], rounds)


@pytest.fixture
def rows() -> list[ThroughputRow]:
    measured = [
        _measured("force_float32", 0.010),
        _measured("qint8_mixed_float16", 0.004, disturbed=4),
        _measured("qint8_mixed_float16", 0.008, batch=8, disturbed=3),
    ]
    return throughput_rows(measured, model="net", engine="openvino", engine_version="1")


def test_a_row_holds_what_numpy_and_scipy_say(rows: list[ThroughputRow]) -> None:
    from scipy.stats import binom

    frame = throughput_table(rows).to_pandas()
    first = frame.iloc[0]
    throughputs = np.sort([4 * REQUESTS / one.seconds for one in rows[0].measured.rounds])
    assert first.throughput == pytest.approx(np.median(throughputs))
    # Of 8 rounds the first and the last enclose the median with 95 %, the second ones do not.
    assert 1 - 2 * binom.cdf(0, 8, 0.5) >= 0.95 > 1 - 2 * binom.cdf(1, 8, 0.5)
    assert (first.throughput_low, first.throughput_high) == pytest.approx(throughputs[[0, -1]])
    latencies = np.concatenate([one.requests.compute + 3e-5 for one in rows[0].measured.rounds])
    for name, percentile in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
        expected = np.quantile(latencies, percentile, method="inverted_cdf") * 1e3
        assert first[f"{name}_ms"] == pytest.approx(expected)
    assert first.p50_low_ms < first.p50_ms < first.p50_high_ms
    assert first.p90_needed == 64
    assert first.copy_in_ms == pytest.approx(0.01)
    assert first.compute_ms == pytest.approx(np.median(latencies - 3e-5) * 1e3)
    assert first.images == ROUNDS * REQUESTS * 4


def test_speedup_is_against_float32_of_the_same_batch(rows: list[ThroughputRow]) -> None:
    frame = throughput_table(rows).to_pandas()
    assert frame.speedup.isna().tolist() == [True, False, True]
    expected = compare_speed(rows[0].measured.round_throughput, rows[1].measured.round_throughput)
    assert frame.speedup[1] == pytest.approx(expected.ratio)
    assert expected.ratio == pytest.approx(2.5, rel=0.05)
    assert frame.speedup_low[1] < expected.ratio < frame.speedup_high[1]


def test_half_the_rounds_disturbed_disturb_a_row(rows: list[ThroughputRow]) -> None:
    assert throughput_table(rows)["disturbed"].to_pylist() == [False, True, False]


def test_every_request_is_kept(rows: list[ThroughputRow], tmp_path: Path) -> None:
    import pandas as pd

    write_parquet(tmp_path / "latencies.parquet", latencies_table(rows))
    write_parquet(tmp_path / "throughput.parquet", throughput_table(rows))
    frame = read_parquet(tmp_path / "latencies.parquet", LATENCIES).to_pandas()
    assert len(frame) == 3 * ROUNDS * REQUESTS
    sizes = frame.groupby(["configuration", "round"]).size()
    assert sizes.tolist() == [REQUESTS] * 3 * ROUNDS
    table = read_parquet(tmp_path / "throughput.parquet", THROUGHPUT).to_pandas()
    for place, part in frame.groupby("configuration"):
        assert part.latency_ms.mean() == pytest.approx(table.latency_mean_ms[place])
        stages = part.copy_in_ms + part.compute_ms + part.copy_out_ms
        pd.testing.assert_series_equal(part.latency_ms, stages, check_names=False)
    assert frame.device_ms.isna().all()


def test_the_table_fits_a_terminal(rows: list[ThroughputRow]) -> None:
    lines = text_of(render_throughput(rows)).splitlines()
    assert max(map(len, lines)) <= 100
    assert "qint8_mixed_float16" in "\n".join(lines)
    assert "…" not in "\n".join(lines)


def test_few_samples_are_told(rows: list[ThroughputRow]) -> None:
    few = Measured(rows[0].configuration, "float32", rows[0].measured.rounds[:1])
    (row,) = throughput_rows([few], model="net", engine="openvino", engine_version="1")
    assert row.latencies.percentiles[3].name == "p99"
    assert "100 of 662" in throughput_cells([row])[0]["p99, ms"]
    assert row.interval == (None, None)


def test_the_seeds_own_table(rows: list[ThroughputRow]) -> None:
    heading, _, first, *_ = seed_table(rows, "MLU370 S4").splitlines()
    assert heading == "| Model | Quant_Mode | Batch_Size | Throughput (qps) | MLU 板卡类型 |"
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert cells[:3] == ["net", "force_float32", "4"]
    assert float(cells[3]) == pytest.approx(rows[0].throughput, rel=1e-4)
    assert cells[4] == "MLU370 S4"
