"""The OpenVINO engine: what it is, where it runs, and its build and load."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np
import openvino as ov

from mlubench.engines.interface import (
    BuildSpec,
    Calibration,
    Concurrency,
    ConsumeLayer,
    Engine,
    NetworkFiles,
    Session,
)
from mlubench.engines.measuring import Measured, MeasureSetup
from mlubench.engines.openvino.build import build_model
from mlubench.engines.openvino.comparing import OpenVinoLayers, compare
from mlubench.engines.openvino.flags import FLOAT_HINTS, effective
from mlubench.engines.openvino.measuring import OpenVinoMeasured, dump_layers, tensor_names
from mlubench.engines.openvino.session import OpenVinoSession
from mlubench.engines.precisions import REFERENCE
from mlubench.errors import ConfigError, EngineError, StoreError
from mlubench.store import write_json

MODEL = "model.xml"
_BUILT = "built.json"
#: How the kernel's names of such instructions begin, on x86 and on ARM.
_INSTRUCTIONS = ("amx", "avx", "asimd", "bf16", "f16c", "fma", "i8mm", "sse4", "sve")
_FIXES = {
    "compile": "run again with the network's force_float32 alone to see whether the network or the "
    "precision is at fault",
    "load": "compile the network again, in case its files are damaged",
}


class OpenVinoEngine(Engine):
    """OpenVINO's CPU plug-in."""

    precisions = tuple(FLOAT_HINTS)

    def __init__(self) -> None:
        self._core = ov.Core()
        self._threads = len(os.sched_getaffinity(0))

    def describe(self) -> Dict[str, str]:
        """Return the versions of OpenVINO and NNCF and what the host's arithmetic can do."""
        # Python 3.8; OpenVINO and NNCF themselves need a later one.
        from importlib.metadata import version  # novm

        abilities: List[str] = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return {
            "version": str(ov.__version__),
            "nncf": version("nncf"),
            "arithmetic": " ".join(sorted(abilities)),
            # The same capabilities may be carried out by other instructions, with other roundings.
            "instructions": " ".join(instruction_sets()),
        }

    def count_devices(self) -> int:
        """Return the number of cores, the most groups that there can be."""
        return len(os.sched_getaffinity(0))

    def use_device(self, device: str) -> str:
        """Pin this process, and so every thread it starts, to the cores of the device."""
        cores = core_group(device, sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, cores)
        self._threads = len(cores)
        name = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        return "{}, cores {}".format(str(name).strip(), ",".join(map(str, cores)))

    def check(self, spec: BuildSpec) -> None:
        """Refuse the flags that OpenVINO has not got."""
        effective(spec)

    def build(
        self,
        network: NetworkFiles,
        spec: BuildSpec,
        calibration: Optional[Calibration],
        folder: Path,
    ) -> None:
        """Write OpenVINO's IR (model.xml, model.bin) and the spec that it was built for."""
        spec = effective(spec)
        try:
            model = build_model(self._core, network.onnx, spec, calibration)
        except RuntimeError as error:
            raise _engine_error(error, network.onnx, "compile") from error
        _save(model, folder / MODEL, halved=FLOAT_HINTS[spec.precision] == "f16")
        write_json(folder / _BUILT, {"spec": spec.to_json(), "engine": self.describe()})

    def load(self, model: Path, concurrency: Concurrency = Concurrency()) -> Session:
        """Compile the IR for this process's cores, one stream of one thread for each.

        Fewer streams leave cores idle, which can be quicker where two of them share one; they do
        not get more threads, which could change the arithmetic.
        """
        streams = self._checked_streams(concurrency.streams or self._threads)
        compiled, spec = self._compiled(model, streams, INFERENCE_NUM_THREADS=streams)
        return OpenVinoSession(compiled, spec, concurrency.requests or streams + 1)

    def measure(self, model: Path, setup: MeasureSetup) -> Measured:
        """Compile the IR with so many streams; as in an evaluation where none are given."""
        streams = self._checked_streams(
            setup.streams or min(self._threads, setup.requests or self._threads)
        )
        if setup.plugin:
            raise ConfigError(
                "networks are compiled for openvino without further operations",
                where="--plugin",
                fix="leave it out",
            )
        more: Dict[str, object] = {"ENABLE_CPU_PINNING": setup.pinned, "PERF_COUNT": setup.profile}
        if setup.one_thread:
            more["INFERENCE_NUM_THREADS"] = streams
        compiled = self._compiled(model, streams, **more)[0]
        tensors: Set[str] = set()
        if setup.profile:
            tensors.update(tensor_names(self._core.read_model(str(model / MODEL))))
        return OpenVinoMeasured(compiled, tensors)

    def dump(self, model: Path, inputs: Sequence[np.ndarray], folder: Path) -> List[str]:
        """Write every named tensor of the model as a .npy file."""
        spec = self._built(model)
        return dump_layers(self._core, model / MODEL, dict(arithmetic(spec)), inputs, folder)

    def compare_layers(
        self, reference: Path, candidate: Path, images: Iterable[np.ndarray], consume: ConsumeLayer
    ) -> None:
        """Run both with every named tensor among the outputs, one image after the other."""
        both = [
            OpenVinoLayers(self._core, model / MODEL, spec, dict(arithmetic(spec)))
            for model, spec in ((one, self._built(one)) for one in (reference, candidate))
        ]
        compare(both[0], both[1], images, consume)

    def _checked_streams(self, streams: int) -> int:
        if streams > self._threads:
            raise ConfigError(
                f"the device has {self._threads} cores",
                where="--streams",
                expected=f"1 to {self._threads}",
                fix="leave it out for a stream on each core",
            )
        return streams

    def _compiled(
        self, model: Path, streams: int, **more: object
    ) -> Tuple[ov.CompiledModel, BuildSpec]:
        spec = self._built(model)
        properties = {
            **arithmetic(spec),
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,
            **more,
        }
        try:
            return self._core.compile_model(str(model / MODEL), "CPU", properties), spec
        except RuntimeError as error:
            raise _engine_error(error, model, "load") from error

    def _built(self, model: Path) -> BuildSpec:
        """Return what a model was built for.

        Raises:
            EngineError: it was built by another engine, or its description cannot be read.
        """
        try:
            built = json.loads((model / _BUILT).read_bytes())
            self._refuse_foreign(built["engine"], model)
            return BuildSpec.from_json(built["spec"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _engine_error(error, model, "load") from error

    def _refuse_foreign(self, built_by: Dict[str, str], folder: Path) -> None:
        if built_by != self.describe():
            raise EngineError(
                f"was built by another engine or host: {built_by}",
                where=str(folder),
                expected=str(self.describe()),
                fix="compile the network again here",
            )


def _save(model: ov.Model, path: Path, *, halved: bool) -> None:
    """Write a model. What OpenVINO says where it cannot names neither the file nor the reason.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        ov.save_model(model, str(path), compress_to_fp16=halved)
    except RuntimeError as error:
        raise StoreError(
            "the compiled network cannot be written: {}".format(str(error).strip()),
            where=str(path),
            fix="free space on that disk, see whether it may be written, and run the command "
            "again; what is done is kept",
        ) from error


def arithmetic(spec: BuildSpec) -> Dict[str, str]:
    """Return the properties that choose the floating-point arithmetic.

    ``computation_preference`` auto takes the precision's own type. With ``high_precision``
    OpenVINO may not lower anything: what is not int8 runs in float32. With ``fast`` it takes the
    fastest type that the CPU has, except in ``force_float32``, which stays what it says.
    """
    if spec.computation_preference == "high_precision":
        return {"EXECUTION_MODE_HINT": "ACCURACY", "INFERENCE_PRECISION_HINT": "f32"}
    if spec.computation_preference == "fast" and spec.precision != REFERENCE:
        return {"EXECUTION_MODE_HINT": "PERFORMANCE"}
    return {"INFERENCE_PRECISION_HINT": FLOAT_HINTS[spec.precision]}


def core_group(device: str, cores: List[int]) -> List[int]:
    """Return the cores of ``cpu:I/G``: group I of G equal, contiguous groups of ``cores``.

    Raises:
        ConfigError: not such a name, or more groups than cores.
    """
    name = re.fullmatch(r"cpu:([0-9]+)/([0-9]+)", device)
    if name is None:
        raise _no_device(device, len(cores))
    index, count = int(name.group(1)), int(name.group(2))
    if not index < count <= len(cores):
        raise _no_device(device, len(cores))
    return cores[index * len(cores) // count : (index + 1) * len(cores) // count]


def _no_device(device: str, cores: int) -> ConfigError:
    return ConfigError(
        f"there is no device {device}",
        where="--devices",
        expected=f"cpu:0 up to cpu:{cores - 1} (this process may use {cores} cores), "
        "or cpu:I/G for group I of G",
        fix="name fewer devices, or leave --devices out to use all cores as cpu:0",
    )


def instruction_sets(cpuinfo: Path = Path("/proc/cpuinfo")) -> List[str]:
    """Return the host's vector and matrix instructions, by the kernel's names.

    Args:
        cpuinfo: the kernel's list; where there is none, nothing is known.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    names = found.group(1).split() if found else []
    return sorted({name for name in names if name.startswith(_INSTRUCTIONS)})


def _engine_error(error: Exception, where: Path, verb: str) -> EngineError:
    reason = str(error).strip().splitlines()
    return EngineError(
        "OpenVINO could not {} it: {}".format(verb, reason[-1] if reason else repr(error)),
        where=str(where),
        fix=_FIXES[verb],
    )
