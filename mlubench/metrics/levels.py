"""How much chance the gates allow; apart from what computes, so that a help text is quick."""

from __future__ import annotations

#: The one-sided level of a gate on an interval: one end of a two-sided 95 % interval.
GATE_LEVEL = 0.025
#: The one-sided level at which a loss against a baseline is shown. Of comparisons of equals at
#: most 1 % are alarms, since the test is exact. At 50,000 images of which 3 % change, a drop of
#: 0.25 points is shown with a probability of 81 % (with 80 % at a level of 0.92 %).
LOSS_LEVEL = 0.01
#: The level, for all classes together, at which a class's loss is shown.
CLASS_LEVEL = 0.001
#: The probability with which an effect that counts as detectable is shown.
POWER = 0.8
