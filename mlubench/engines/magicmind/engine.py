"""The MagicMind engine: what it is, where it runs, and its build and load."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from mlubench.engines.interface import (
    BuildSpec,
    Calibration,
    Concurrency,
    Engine,
    NetworkFiles,
    Session,
    description_beside,
)
from mlubench.engines.magicmind import DEPTH, MODEL
from mlubench.engines.magicmind.build import Builder
from mlubench.engines.magicmind.cnmon import check_visible, read_cards, visible
from mlubench.engines.magicmind.flags import check
from mlubench.engines.magicmind.measuring import MagicMindMeasured
from mlubench.engines.magicmind.sdk import RUNTIME, Checks, load_plugin, load_sdk, sdk_version
from mlubench.engines.magicmind.session import MagicMindSession, Slot, make_engine
from mlubench.engines.measuring import Measured, MeasureSetup
from mlubench.engines.precisions import PRECISIONS
from mlubench.errors import ConfigError, EngineError
from mlubench.store import write_json


class MagicMindEngine(Engine):
    """MagicMind's runtime on one card."""

    precisions = PRECISIONS

    def __init__(self) -> None:
        self._mm = load_sdk(RUNTIME)
        self._checks = Checks("")
        self._system: Any = None
        self._device: Any = None
        self._plugins: Set[str] = set()

    def describe(self) -> Dict[str, str]:
        """Return what is known of the SDK's version, and whether it is a simulated one."""
        simulated = str(getattr(self._mm, "SIMULATED", ""))
        facts = {"version": sdk_version(self._mm)}
        return dict(facts, simulated=simulated) if simulated else facts

    def count_devices(self) -> int:
        """Return how many cards the SDK sees."""
        return int(self._started().device_count())

    def use_device(self, device: str) -> str:
        """Make a card this process's own."""
        name = re.fullmatch(r"mlu:([0-9]+)", device)
        self._checks = Checks(device)
        count = self.count_devices()
        if name is None or int(name.group(1)) >= count:
            raise ConfigError(
                f"there is no device {device}",
                where="--devices",
                expected=f"mlu:0 up to mlu:{count - 1}" if count else "a card; the SDK sees none",
                fix="see mlubench devices --engine magicmind, and MLU_VISIBLE_DEVICES",
            )
        self._device = self._mm.Device()
        self._device.id = int(name.group(1))
        self._checks.ok(self._device.active(), "Device.active", id=self._device.id)
        return self._described(int(name.group(1)))

    def check(self, spec: BuildSpec) -> None:
        """Refuse what MagicMind has not got."""
        check(spec)

    def build(
        self,
        network: NetworkFiles,
        spec: BuildSpec,
        calibration: Optional[Calibration],
        folder: Path,
    ) -> None:
        """Write MagicMind's model file, and beside it what it was built for and by."""
        check(spec)
        self._load_plugins(spec.plugin)
        target = folder / MODEL
        Builder(self._mm, self._checks, spec).build(network, calibration, target)
        built = {"spec": spec.to_json(), "built_by": self.describe()}
        write_json(description_beside(target), built)

    def load(self, model: Path, concurrency: Concurrency = Concurrency()) -> Session:
        """Load a model file and make its contexts and queues, one of each for a batch in flight."""
        _refuse_streams(concurrency.streams)
        loaded, spec = self._loaded(model)
        depth = concurrency.requests or DEPTH
        return MagicMindSession(self._mm, loaded, self._device, self._checks, spec, depth)

    def measure(self, model: Path, setup: MeasureSetup) -> Measured:
        """Load a model file to be measured."""
        _refuse_streams(setup.streams)
        if setup.pinned:
            raise ConfigError(
                "MagicMind's Python API binds no thread to a cluster",
                where="--bind_cluster",
                fix="leave it out, or run mm_run itself with --native",
            )
        self._load_plugins(setup.plugin)  # before the model that needs them
        loaded, spec = self._loaded(model)
        measured = MagicMindMeasured(self._mm, loaded, self._device, self._checks, spec)
        if setup.profile:
            measured.layer_times()  # refuses
        return measured

    def dump(self, model: Path, inputs: Sequence[np.ndarray], folder: Path) -> List[str]:
        """Let the SDK write every tensor, in its own form; return the files' names."""
        loaded, _ = self._loaded(model)
        engine = make_engine(self._mm, loaded, self._checks)
        slot = Slot(engine, self._device, self._checks, loaded.get_output_num())
        slot.dump(self._mm, folder)
        slot.copy_in(inputs[0])
        slot.enqueue()
        slot.sync()
        slot.close()
        return sorted(path.name for path in folder.iterdir())

    def _loaded(self, model: Path) -> Tuple[Any, BuildSpec]:
        """Return the SDK's model and what it was built for."""
        file = model / MODEL if model.is_dir() else model
        try:
            described = json.loads(description_beside(file).read_text(encoding="utf-8"))
            spec = BuildSpec.from_json(described["spec"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"its description cannot be read: {error}",
                where=str(description_beside(file)),
                fix="compile the network again",
            ) from error
        self._load_plugins(spec.plugin)
        loaded = self._mm.Model()
        status = loaded.deserialize_from_file(str(file))
        self._checks.ok(status, "Model.deserialize_from_file", path=file)
        return loaded, spec

    def _load_plugins(self, libraries: Sequence[str]) -> None:
        """Load further operations, once: a network that has them is neither parsed nor read else.

        That a compiled one needs them is not documented; mm_run, which only reads, takes them too.
        """
        for library in libraries:
            if library in self._plugins:
                continue
            if not Path(library).is_file():
                raise ConfigError(
                    f"there is no file {library}",
                    where="--plugin",
                    expected="the library that the network was compiled with",
                    fix="put it back, or compile the network again",
                )
            load_plugin(self._mm, self._checks, library)
            self._plugins.add(library)

    def _started(self) -> Any:
        """Return the SDK's System, which stays open for the life of the process."""
        if self._system is None:
            check_visible(os.environ)  # what the SDK makes of a wrong one is not documented
            system = self._mm.System()
            self._checks.ok(system.initialize(), "System.initialize")
            self._system = system
        return self._system

    def _described(self, index: int) -> str:
        """Return what cnmon says of the card; it numbers all cards, the SDK the visible ones."""
        simulated = str(getattr(self._mm, "SIMULATED", ""))
        cards = {card.index: card for card in read_cards().cards}
        numbers = visible(sorted(cards), os.environ) if cards else []
        card = cards[numbers[index]] if index < len(numbers) else None
        facts = [
            "simulated" if simulated else "",
            (card and card.name) or "MLU",
            f"{card.memory_mib} MiB" if card and card.memory_mib else "",
            f"driver {card.driver}" if card and card.driver else "",
        ]
        return ", ".join(filter(None, facts))


def _refuse_streams(streams: int) -> None:
    if streams:
        raise ConfigError(
            "a card has no streams",
            where="--streams",
            fix="leave it out; --threads and --infer_depth keep a card busy",
        )
