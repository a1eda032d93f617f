"""Words and colours of verdicts, the same in every report."""

from __future__ import annotations

from mlubench.metrics.verdict import Verdict

COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict in words."""
    return verdict.value.replace("_", " ")


def markdown_text(text: str) -> str:
    """Return a text that neither ends its cell nor is taken for Markdown or HTML."""
    for mark, escape in (("&", "&amp;"), ("<", "&lt;"), ("|", "&#124;"), ("`", "&#96;")):
        text = text.replace(mark, escape)
    return text
