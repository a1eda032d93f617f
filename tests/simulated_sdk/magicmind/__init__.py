"""A SIMULATED MagicMind SDK for tests: no Cambricon software, no card, no MLU arithmetic.

It has the Python calls of MagicMind 1.7 that public samples show, and no others; names,
arguments, orders of calls and kinds of results are theirs. What it computes it computes with
ONNX Runtime. It is strict: whatever the real SDK may take silently is a
:class:`~magicmind.simulation.strict.SimulatedSdkMisuse` here. See README.md beside this package.

Standard library and NumPy only until a network is parsed; Python 3.7 syntax.
"""

import sys

SIMULATED = (
    "This is a simulated MagicMind SDK for tests: there is no MLU, and no result or time of it "
    "says anything of one."
)

sys.stderr.write("SIMULATED MagicMind SDK: " + SIMULATED + "\n")
