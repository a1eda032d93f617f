"""Tests of mlubench.metrics."""
