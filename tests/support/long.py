"""Tests that take long for what they add: ``make test-long`` runs them, ``make test`` does not."""

from __future__ import annotations

import os

import pytest

#: Whether property tests try many examples.
LONG = bool(os.environ.get("MLUBENCH_TEST_LONG"))

#: Marks such a test; pyproject.toml deselects it, ``pytest -m long`` selects it.
long = pytest.mark.long
