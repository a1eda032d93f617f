"""What a page says first."""

from __future__ import annotations

from mlubench.evaluate.accuracy import accuracy_rows
from mlubench.metrics.verdict import Verdict
from mlubench.report.verdict import PageVerdict, by_own_limits
from mlubench.runs.verdict import GateRecord
from tests.support import examples

INT8 = "qint8_mixed_float16"


def _gate(subject: str, verdict: Verdict) -> GateRecord:
    return GateRecord(name="a gate", subject=subject, verdict=verdict, reason="because")


def test_the_worst_come_first_and_those_that_passed_apart() -> None:
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.PASS, Verdict.FAIL]
    gates = [_gate(str(place), verdict) for place, verdict in enumerate(order)]
    said = PageVerdict(Verdict.FAIL, "", gates)
    assert [gate.subject for gate in said.against_it] == ["2", "4", "1"]
    assert [gate.subject for gate in said.passed] == ["0", "3"]
    assert said.counts == "2 fail, 1 inconclusive, 2 pass"


def test_a_precision_has_the_worst_of_its_gates_and_of_its_classes() -> None:
    gates = [
        _gate("corrupt", Verdict.FAIL),
        _gate("int8", Verdict.PASS),
        _gate("int8, class n01", Verdict.INCONCLUSIVE),
        _gate("int8_other", Verdict.FAIL),
    ]
    said = PageVerdict(Verdict.FAIL, "", gates)
    assert said.of("int8") == Verdict.INCONCLUSIVE
    assert said.of("float32") == Verdict.NOT_JUDGED


def test_a_run_with_a_limit_of_its_own_is_judged_by_it() -> None:
    limits = {"force_float16": 0.02, INT8: 0.01}
    rows = accuracy_rows(examples.predictions(), examples.SETUP, limits)
    said = by_own_limits(rows, limits, ["a remark"])
    assert [gate.subject for gate in said.gates] == ["force_float16", INT8]
    assert said.verdict == Verdict.INCONCLUSIVE
    assert said.of("force_float16") == Verdict.PASS
    assert said.of(INT8) == Verdict.INCONCLUSIVE
    assert "limit 1.00" in said.gates[1].reason
    assert "--max_drop" in said.by
    assert said.remarks == ["a remark"]


def test_without_a_limit_nothing_is_judged() -> None:
    rows = accuracy_rows(examples.predictions(), examples.SETUP, {})
    said = by_own_limits(rows, {}, [])
    assert (said.verdict, list(said.gates), said.counts) == (Verdict.NOT_JUDGED, [], "")
