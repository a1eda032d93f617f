"""Tests of mlubench.reports."""
