"""Accuracy, paired comparison and verdicts: pure functions over arrays."""
