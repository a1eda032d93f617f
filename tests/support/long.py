"""Tests that take long for what they add: ``make test-long`` runs them, ``make test`` does not."""

from __future__ import annotations

import os

import pytest

LONG = bool(os.environ.get("MLUBENCH_TEST_LONG"))

#: Marks such a test.
long = pytest.mark.skipif(not LONG, reason="long: make test-long")
