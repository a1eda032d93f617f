"""MagicMind on Cambricon MLU cards: the vendor's SDK through its Python API.

The SDK is on no package index; the vendor's images have it, under a Python of their own
(``engine.python`` in conf). Nothing outside this package imports it. What is known of its API was
read in the vendor's public samples; what they do not show is not assumed: a Status is asked with
``ok()`` and never for its truth, factories may return None, lists may be a Status, and shapes,
types and layouts are asked of the compiled network.

A device is a card, ``mlu:0``, ``mlu:1``, ... as the SDK numbers those that it may use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlubench.engines.traits import Traits

if TYPE_CHECKING:
    from mlubench.engines.interface import Engine

#: Batches in flight: one computes while the host copies the next one in and reads another.
DEPTH = 3
#: The one file of a compiled network, which mm_run and the samples read.
MODEL = "model"
TRAITS = Traits(
    family="mlu",
    builds_on_device=True,
    infer_depth=DEPTH,
    batches=(1, 8, 16, 32),
    model_file=MODEL,
    installed_apart=True,
    not_in_run={
        "kernel_capture": "MagicMind's Python API captures no kernels",
        "trace_pmu": "MagicMind's Python API samples no bandwidths",
        "trace_time": "MagicMind's Python API has no events that the card's clock times",
        "perf_path": "MagicMind's Python API tells no layer's time",
    },
)


def create() -> Engine:
    """Return the engine; the SDK is imported here and not before.

    Raises:
        ConfigError: there is no SDK; says what was looked for.
    """
    from mlubench.engines.magicmind.engine import MagicMindEngine

    return MagicMindEngine()
