"""Suites, run night after night."""
