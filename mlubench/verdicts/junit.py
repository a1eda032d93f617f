"""Gates as JUnit XML, which CI servers show as tests.

There is no standard; what is written here is what the widely used schema of Jenkins' xunit
plug-in and its readers have in common: a root ``testsuites``, suites with counts, and of a test
case ``failure`` or ``skipped``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from mlubench.metrics.verdict import Verdict
from mlubench.presentation.text import verdict_text
from mlubench.runs.verdict import Gate
from mlubench.store import write_atomic
from mlubench.verdicts.judge import Judged

#: What XML 1.0 has no character for.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: INCONCLUSIVE is no failure and no success; JUnit's word for a test without a result.
_WITHOUT_RESULT = (Verdict.INCONCLUSIVE, Verdict.NOT_JUDGED)


def junit_xml(judged: Sequence[Judged]) -> bytes:
    """Return runs as suites and their gates as test cases, UTF-8.

    A failed gate is a ``failure``, an inconclusive one is ``skipped``; the reason is the message.
    Remarks are the suite's ``system-out``. There are no times: gates take none.
    """
    every = [gate for one in judged for gate in one.gates]
    root = Xml.Element("testsuites", {"name": "mlubench", **_counts(every)})
    for one in judged:
        suite = Xml.SubElement(root, "testsuite", {"name": _clean(one.run), **_counts(one.gates)})
        properties = Xml.SubElement(suite, "properties")
        for name, value in (("baseline", one.baseline), ("verdict", verdict_text(one.verdict))):
            Xml.SubElement(properties, "property", {"name": name, "value": _clean(value)})
        for gate in one.gates:
            _add_case(suite, one, gate)
        if one.remarks:
            Xml.SubElement(suite, "system-out").text = _clean("\n".join(one.remarks))
    Xml.indent(root)
    text = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return bytes(text) + b"\n"


def write_junit(path: Path, judged: Sequence[Judged]) -> None:
    """Write :func:`junit_xml` atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    write_atomic(path, junit_xml(judged))


def _add_case(suite: Xml.Element, judged: Judged, gate: Gate) -> None:
    names = {"classname": f"mlubench.{gate.name}", "name": f"{gate.name}, {gate.subject}"}
    case = Xml.SubElement(
        suite, "testcase", {name: _clean(text) for name, text in names.items()} | {"time": "0"}
    )
    message = {"message": _clean(gate.reason)}
    if gate.verdict == Verdict.FAIL:
        failure = Xml.SubElement(case, "failure", {**message, "type": gate.name})
        failure.text = _clean(f"{judged.run} against {judged.baseline or 'itself'}")
    elif gate.verdict in _WITHOUT_RESULT:
        Xml.SubElement(case, "skipped", message)
    else:
        Xml.SubElement(case, "system-out").text = message["message"]


def _counts(gates: Sequence[Gate]) -> dict[str, str]:
    return {
        "tests": str(len(gates)),
        "failures": str(sum(gate.verdict == Verdict.FAIL for gate in gates)),
        "errors": "0",
        "skipped": str(sum(gate.verdict in _WITHOUT_RESULT for gate in gates)),
        "time": "0",
    }


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
