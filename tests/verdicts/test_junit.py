"""JUnit XML by an XML parser, and by what its readers ask of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from mlubench.metrics.verdict import Verdict
from mlubench.runs.verdict import Gate
from mlubench.verdicts.judge import Judged
from mlubench.verdicts.junit import junit_xml, write_junit

_GATES = [
    Gate("model", "tiny", Verdict.PASS, "the same"),
    Gate("accuracy-baseline", "int8 <&\"'>", Verdict.FAIL, "lost \x00 many\nand 准确率 \ud800"),
    Gate("speed", "int8", Verdict.INCONCLUSIVE, "cannot tell"),
]
_JUDGED = Judged("run-2", "run-1", _GATES, ["another host"])


def test_it_is_what_readers_expect() -> None:
    root = Xml.fromstring(junit_xml([_JUDGED, Judged("run-3", "", _GATES[:1])]))
    assert root.tag == "testsuites"
    assert root.attrib == {
        "name": "mlubench",
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "0",
    }
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["run-2", "run-3"]
    for suite in suites:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases))
        assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
        assert suite.get("skipped") == str(len(suite.findall("testcase/skipped")))
        assert all({"classname", "name", "time"} <= set(case.keys()) for case in cases)
        # The schema has an order: properties, test cases, then what was printed.
        order = [part.tag for part in suite]
        assert order == sorted(order, key=["properties", "testcase", "system-out"].index)
    assert suites[0].find("system-out").text == "another host"  # type: ignore[union-attr]
    values = {one.get("name"): one.get("value") for one in suites[0].iter("property")}
    assert values == {"baseline": "run-1", "verdict": "fail"}


def test_a_case_for_each_gate() -> None:
    passed, failed, doubtful = Xml.fromstring(junit_xml([_JUDGED])).iter("testcase")
    assert {part.tag for part in passed} == {"system-out"}
    assert failed.get("name") == "accuracy-baseline, int8 <&\"'>"
    assert failed.get("classname") == "mlubench.accuracy-baseline"
    failure = failed.find("failure")
    assert failure is not None
    # A line break in an attribute would be a blank to a reader, were it not escaped.
    assert failure.get("message") == "lost \ufffd many\nand 准确率 \ufffd"
    assert failure.text == "run-2 against run-1"
    skipped = doubtful.find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "cannot tell"


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_junit(tmp_path / "a" / "junit.xml", [_JUDGED])
    data = (tmp_path / "a" / "junit.xml").read_bytes()
    assert data == junit_xml([_JUDGED])
    assert data.startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<testsuites")
