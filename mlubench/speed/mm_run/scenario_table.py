"""What a scenario of MLPerf's found, in words and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.metrics.figures import NONE, figure
from mlubench.metrics.latency import Latencies, Percentile
from mlubench.speed.mm_run.server_search import RateSearch
from mlubench.speed.mm_run.stages import interval_text


@dataclass(frozen=True)
class ScenarioResult:
    """A scenario's outcome.

    Attributes:
        scenario: MLPerf's name of it.
        samples_per_query: as it says.
        batch_size: samples of a request to the device.
        in_flight: requests that the device could be given at once.
        queries: of the run that is told of.
        seconds: of it, from the first query's being due to the last one's end.
        throughput: samples per second.
        latencies: of its queries in milliseconds, from when they were due; None of Offline.
        percentile: that is judged, as a fraction; None of Offline.
        bound: milliseconds that few queries of Server may exceed.
        rate: arrivals per second of that run of Server.
        held: whether the bound held; None where there is none.
        search: how the highest rate was found, where none was given.
    """

    scenario: str
    samples_per_query: int
    batch_size: int
    in_flight: int
    queries: int
    seconds: float
    throughput: float
    latencies: Latencies | None = None
    percentile: float | None = None
    bound: float | None = None
    rate: float | None = None
    held: bool | None = None
    search: RateSearch | None = None

    @property
    def judged(self) -> Percentile | None:
        """The percentile that the scenario judges."""
        if self.latencies is None:
            return None
        found = [one for one in self.latencies.percentiles if one.percentile == self.percentile]
        return found[0] if found else None

    @property
    def exit_status(self) -> int:
        """1 where the bound did not hold."""
        return 1 if self.held is False else 0


def scenario_lines(result: ScenarioResult) -> Iterator[str]:
    """Yield what a scenario found, a line each."""
    yield f"scenario:          {result.scenario}"
    yield (
        f"queries:           {result.queries} of {result.samples_per_query} samples each, in "
        f"requests of {result.batch_size}, {result.in_flight} in flight at most"
    )
    yield f"time:              {result.seconds:.3f} s"
    yield f"samples/s:         {result.throughput:.6g}"
    judged = result.judged
    if judged is not None and result.bound is None:
        said = f"{figure(judged.estimate)} ms" if judged.estimate is not None else judged.shortage
        yield f"{judged.name + ' by MLPerf:':<18} {said}"
    if judged is not None and result.bound is not None:
        held = "holds" if result.held else "does not hold"
        yield f"bound:             {judged.name} within {result.bound:g} ms {held}"
        yield f"arrivals/s:        {figure(result.rate or 0.0)}"
    if result.search is not None:
        yield f"highest rate:      {_search(result.search)}"


def _search(search: RateSearch) -> str:
    trials = f"{len(search.trials)} runs"
    if search.rate is None:
        return f"none held down to {figure(search.broken or 0.0)} arrivals/s ({trials})"
    over = f", {figure(search.broken)} did not" if search.broken is not None else ""
    return f"{figure(search.rate)} arrivals/s held{over} ({trials})"


def scenario_table(result: ScenarioResult) -> Table:
    """Return the queries' latencies as a table that fits 100 columns; of Offline an empty one."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in ("latency, ms", "value", "95 % interval", "by MLPerf", "queries, of those needed"):
        table.add_column(name, justify="right", no_wrap=True)
    if result.latencies is None:
        return table
    table.add_row("mean", *map(Text, (figure(result.latencies.mean), "", "", "")))
    for one in result.latencies.percentiles:
        interval = interval_text(one)
        estimate = NONE if one.estimate is None else figure(one.estimate)
        count = f"{one.samples} of {one.needed}" + ("" if one.enough else ", not enough")
        table.add_row(one.name, *map(Text, (figure(one.value), interval, estimate, count)))
    return table
