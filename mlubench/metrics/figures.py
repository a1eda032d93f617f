"""Figures as text: accuracies in points, speeds, decibels, p-values."""

from __future__ import annotations

import math

#: Stands where there is nothing to compare with.
NONE = "-"


def in_points(fraction: float) -> str:
    """Return a fraction as percentage points, with two decimals."""
    # Adding 0 turns a rounded -0.00 into 0.00.
    return f"{round(100 * fraction, 2) + 0:.2f}"


def figure(value: float) -> str:
    """Return a figure with three or four digits."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}" if value >= 100 else f"{value:.3g}"


def decibels(value: float | None) -> str:
    """Return a ratio as text; ``equal`` of no noise, ``no signal`` where there is noise alone."""
    if value is None:
        return NONE
    if math.isinf(value):
        return "equal" if value > 0 else "no signal"
    # Adding 0 turns a rounded -0.0 into 0.0.
    return f"{round(value, 1) + 0:.1f}"


def p_text(p: float) -> str:
    """Return a p value; what would round to nothing is told as less than 0.001."""
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"
