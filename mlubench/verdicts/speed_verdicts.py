"""The gates of a benchmark against another one: throughput and memory."""

from __future__ import annotations

from mlubench.metrics.verdict import Verdict
from mlubench.runs.verdict import Gate
from mlubench.verdicts.speed_gates import Comparison, RunsCompared
from mlubench.verdicts.thresholds import Gates


def speed_gates(compared: RunsCompared, gates: Gates) -> list[Gate]:
    """Return a gate on speed and one on memory for each configuration of both runs.

    A configuration that only one of them has leaves a doubt.
    """
    found = [gate for one in compared.comparisons for gate in _both(one, gates)]
    for text in compared.alone:
        subject, _, reason = text.rpartition(": ")
        found.append(Gate("speed", subject, Verdict.INCONCLUSIVE, reason))
    return found


def _both(one: Comparison, gates: Gates) -> list[Gate]:
    reason = f"{one.candidate:.5g} images/s, the baseline {one.baseline:.5g}: {one.change.reason}"
    if one.disturbed:
        reason += "; other processes had much of the host meanwhile"
    speed = Gate("speed", one.name, one.change.verdict, reason)
    before, now = one.memory_kib
    if not before or not now:
        return [speed]
    ratio = now / before
    verdict = Verdict.FAIL if ratio > gates.max_memory_ratio else Verdict.PASS
    reason = (
        f"{now / 1024:.0f} MiB, the baseline {before / 1024:.0f}: ratio {ratio:.2f}, limit "
        f"{gates.max_memory_ratio:g}"
    )
    return [speed, Gate("memory", one.name, verdict, reason)]
