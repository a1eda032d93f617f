"""Evaluations that draw no page, for tests that do not look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest


@contextmanager
def without_page() -> Iterator[None]:
    """Leave out the page, which takes a third of an evaluation of few images."""
    with mock.patch("tasks.evaluation.write_page"):
        yield


@pytest.fixture
def pageless() -> Iterator[None]:
    """Leave out the pages of a whole test."""
    with without_page():
        yield
