"""Tests of conf/sample."""
