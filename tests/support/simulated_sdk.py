"""The simulated MagicMind SDK for tests: in a worker or a command, or in the test itself."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: The folder that holds the package ``magicmind``.
SDK = Path(__file__).resolve().parent.parent / "simulated_sdk"
#: To be put on PATH where a test wants ``cnmon`` to show the simulated cards.
BIN = SDK / "bin"
#: The exit status of a process that misused the SDK.
MISUSED = 86
#: Every call at which faults may be injected.
CALLS = (
    "Builder.build_model",
    "BuilderConfig.parse_from_file",
    "BuilderConfig.parse_from_string",
    "Calibrator.calibrate",
    "Calibrator.set_quantization_algorithm",
    "Calibrator.set_remote",
    "Context.create_inputs",
    "Context.create_outputs",
    "Context.enqueue",
    "Context.set_context_dump_info",
    "Device.active",
    "Device.create_queue",
    "Engine.create_i_context",
    "ITensor.set_data_type",
    "ITensor.set_dimension",
    "LoadPluginLibrary.load",
    "Model.create_i_engine",
    "Model.deserialize_from_file",
    "Model.serialize_to_file",
    "Network.mark_output",
    "Network.unmark_output",
    "Parser.parse",
    "Parser.set_model_param",
    "Profiler.start",
    "Profiler.step_begin",
    "Profiler.step_end",
    "Profiler.stop",
    "Queue.sync",
    "System.destory",
    "System.device_count",
    "System.initialize",
    "Tensor.asnumpy",
    "Tensor.from_numpy",
    "Tensor.to",
)


def environment(
    tmp_path: Path,
    *,
    cards: int = 1,
    faults: Sequence[dict[str, Any]] = (),
    **settings: Any,
) -> dict[str, str]:
    """Return the variables that give a process the simulated SDK, its cards and faults.

    Args:
        tmp_path: gets the settings and the state that processes share; both start anew.
        cards: how many there are.
        faults: see ``magicmind/simulation/faults.py``.
        **settings: ``name``, ``clusters``, ``memory_mb`` of every card.
    """
    number = len(list(tmp_path.glob("simulation-*.json")))
    state = tmp_path / f"simulation-{number}"
    state.mkdir(parents=True)
    path = state.with_suffix(".json")
    values = {"cards": cards, "faults": list(faults), "state": str(state), **settings}
    path.write_text(json.dumps(values))
    paths = [str(SDK), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "MAGICMIND_SIMULATION": str(path)}


def misuses(variables: dict[str, str]) -> list[str]:
    """Return what processes with these variables did that they must not, whoever caught it."""
    settings = json.loads(Path(variables["MAGICMIND_SIMULATION"]).read_text())
    path = Path(settings["state"]) / "misuse"
    return path.read_text().splitlines() if path.exists() else []


@contextmanager
def simulated(tmp_path: Path, **settings: Any) -> Iterator[Any]:
    """Give this process the simulated SDK, as ``magicmind.python.runtime``.

    Args:
        tmp_path: as for :func:`environment`, as are the settings.
        **settings: ``cards``, ``faults`` and so on.

    Raises:
        AssertionError: at the end, where the SDK was misused and no test expected it.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(tmp_path, **settings).items():
            patch.setenv(name, value)
        if str(SDK) not in sys.path:
            patch.setattr(sys, "path", [str(SDK), *sys.path])
        runtime = importlib.import_module("magicmind.python.runtime")
        ledger = importlib.import_module("magicmind.simulation.ledger").LEDGER
        faults = importlib.import_module("magicmind.simulation.faults")
        faults.reset()
        ledger.forget()
        try:
            yield runtime
        finally:
            left = ledger.forget()
            faults.reset()
        assert not left, left


@contextmanager
def misuse(match: str) -> Iterator[None]:
    """Expect that the block misuses the SDK, which is then forgotten."""
    ledger = importlib.import_module("magicmind.simulation.ledger")
    with pytest.raises(ledger.SimulatedSdkMisuse, match=match):
        yield
    ledger.LEDGER.forget()
