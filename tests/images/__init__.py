"""Tests of mlubench.images."""
