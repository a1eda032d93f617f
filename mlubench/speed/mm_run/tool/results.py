"""What mm_run reports, as data; one form for its old and its new output.

Numbers are as printed and in the printed units: milliseconds of latency, seconds of duration.
``None`` is what an output does not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: An input's or output's name and its dimensions, -1 for one that is open.
Shape = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Spread:
    """How a figure was distributed; the old output gives meters no percentiles."""

    least: float
    greatest: float
    mean: float
    median: float
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Stage:
    """A stage's times in milliseconds.

    Attributes:
        host: by the host's clock, around what was really done.
        dev: by the device's clock.
        interface: how long the call that launches it took.
    """

    host: Spread | None = None
    dev: Spread | None = None
    interface: Spread | None = None


@dataclass(frozen=True)
class ShapeGroup:
    """The times of the iterations with one set of input shapes.

    Attributes:
        index: mm_run's number of the group.
        shapes: of each input.
        h2d: copying the inputs in.
        compute: the network.
        d2h: copying the outputs out.
        total: all three, of each iteration; the old output does not give it.
    """

    index: int
    shapes: tuple[Shape, ...]
    h2d: Stage = Stage()
    compute: Stage = Stage()
    d2h: Stage = Stage()
    total: Stage = Stage()


@dataclass(frozen=True)
class Average:
    """A group of runs' mean compute times in milliseconds, by the clocks of :class:`Stage`."""

    host: float | None = None
    dev: float | None = None
    interface: float | None = None


@dataclass(frozen=True)
class Averages:
    """How the compute time went on over a run.

    Attributes:
        runs: how many iterations each average is of.
        runs_per_thread: of them, by each thread.
        rows: in order of time.
    """

    runs: int
    runs_per_thread: int | None
    rows: tuple[Average, ...]


@dataclass(frozen=True)
class Performance:
    """The performance summary.

    Attributes:
        iterations: of all threads.
        wall_seconds: from the first thread's start to the last one's end.
        qps: samples per second: batch times iterations over ``wall_seconds``.
        compute_seconds_host: the network's total time by the host's clock.
        compute_seconds_dev: likewise by the device's. The old output gives one total and names no
            clock; it is taken as the device's, whose events it is computed from.
        total_batch: samples of all iterations.
        iterations_per_second: of all threads.
        groups: a block of latencies for each set of input shapes.
        averages: how the compute time went on.
    """

    iterations: int
    wall_seconds: float
    qps: float
    compute_seconds_host: float | None = None
    compute_seconds_dev: float | None = None
    total_batch: int | None = None
    iterations_per_second: float | None = None
    groups: tuple[ShapeGroup, ...] = ()
    averages: Averages | None = None


@dataclass(frozen=True)
class Parameter:
    """An option that the run had: name, mm_run's name of its type (new output only), value."""

    name: str
    kind: str
    value: str


@dataclass(frozen=True)
class Versions:
    """What measured: MagicMind's, CNRT's and CNAPI's versions as numbers, the process."""

    magicmind: int | None = None
    cnrt: int | None = None
    cnapi: int | None = None
    pid: int | None = None


@dataclass(frozen=True)
class Tensor:
    """An input or output: its name, dimensions (-1 for an open one) and MagicMind's data type."""

    name: str
    dims: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Model:
    """The network: its serialised size, inputs, outputs."""

    size: int | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Device:
    """A device: its number, and what is said of it, label and text: ``Cluster Number``, ``6``."""

    number: int
    facts: tuple[tuple[str, str], ...]

    def fact(self, *labels: str) -> str | None:
        """Return the text of the first of these labels that there is."""
        known = dict(self.facts)
        return next((known[label] for label in labels if label in known), None)

    @property
    def clock_rate(self) -> str | None:
        """The cores' clock with its unit; the two generations name it differently."""
        return self.fact("MLU Core Clock Rate", "IPU Clock Rate")


@dataclass(frozen=True)
class Meter:
    """A quantity that was sampled during the run; the label has the unit: ``mem_util(MB)``."""

    label: str
    spread: Spread


@dataclass(frozen=True)
class DeviceMeters:
    """The meters of one device."""

    device: int
    meters: tuple[Meter, ...]


@dataclass(frozen=True)
class Timing:
    """How long a step of the run took, in milliseconds: ``CreateEngine 0``."""

    what: str
    milliseconds: float


@dataclass(frozen=True)
class Report:
    """Everything that one run of mm_run reports.

    Attributes:
        generation: of the output: ``old`` (MagicMind up to 0.14), ``new``.
        performance: the summary, which every output has.
        parameters: the options of the run.
        versions: what measured.
        model: the network.
        devices: that ran it.
        timings: of the steps before and around the measurement.
        host: meters of the process (occupancy, memory).
        utilization: meters of each device.
        pmu: bandwidths of each device, where they were asked for.
    """

    generation: Literal["old", "new"]
    performance: Performance
    parameters: tuple[Parameter, ...] = ()
    versions: Versions = Versions()
    model: Model | None = None
    devices: tuple[Device, ...] = ()
    timings: tuple[Timing, ...] = ()
    host: tuple[Meter, ...] = ()
    utilization: tuple[DeviceMeters, ...] = ()
    pmu: tuple[DeviceMeters, ...] = ()
