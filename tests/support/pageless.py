"""Evaluations that draw no page, for tests that do not look at it."""

from __future__ import annotations

import pytest


@pytest.fixture
def pageless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the page, which takes a third of an evaluation of few images."""
    from tasks import evaluation

    monkeypatch.setattr(evaluation, "write_page", lambda _: None)
