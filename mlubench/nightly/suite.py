"""A suite's runs, each with checked options: what a nightly carries out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from mlubench import catalogue
from mlubench.devices.engine_host import Counted, count_devices, engine_host
from mlubench.engines.precisions import REFERENCE
from mlubench.engines.traits import traits
from mlubench.errors import ConfigError, MlubenchError
from mlubench.evaluate.options import EvaluateParameters
from mlubench.networks.choose import choose_network, network_in_any_order
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.suite_file import Planned, find_suite, read_suite_file
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.validation import fault_text
from mlubench.verdicts.thresholds import Gates

#: Options that name files; in a suite they are relative to its file, as in a catalogue.
_PATHS = (
    "prototxt",
    "caffemodel",
    "onnx",
    "calibration_dir",
    "file_list",
    "build_config",
    "image_dir",
    "label_file",
)
#: Options that the nightly itself has, for all runs.
_NIGHTLYS = ("out", "conf", "artifacts")
#: Options that are thresholds; a suite has them among its gates.
_THRESHOLDS = ("max_drop", "max_corrupt")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_HELP = "docs/nightly.md says what each key means"

Parameters = EvaluateParameters | BenchParameters


@dataclass(frozen=True)
class SuiteRun:
    """One evaluation or benchmark of a suite.

    Attributes:
        name: the same every night, and only once in the suite.
        parameters: the options of the flow that runs it.
        gates: the thresholds that it is judged by.
        baseline: what it is judged by: ``last-good``, ``pinned``, ``published``, or a run's id; the
            pinned run, or else the last good one, where it is None.
        absent: what the host lacks, where the suite lets it be skipped then; else empty.
        explain: whether failed gates on accuracy are explained.
    """

    name: str
    parameters: Parameters
    gates: Gates
    baseline: str | None = None
    absent: str = ""
    explain: bool = True

    @property
    def kind(self) -> Literal["evaluation", "benchmark"]:
        """Which flow runs it."""
        return "evaluation" if isinstance(self.parameters, EvaluateParameters) else "benchmark"

    @property
    def model(self) -> str:
        """The network's name."""
        asked = self.parameters
        file = asked.onnx or asked.prototxt
        return file.stem if file else asked.model or "sample"


@dataclass(frozen=True)
class Suite:
    """What is run together.

    Attributes:
        name: the file's, without its ``.yaml``.
        description: in a sentence.
        runs: in the order in which they are run.
    """

    name: str
    description: str
    runs: tuple[SuiteRun, ...]


def read_suite(asked: NightlyParameters) -> Suite:
    """Return the suite that the options name, every run's options checked.

    Raises:
        ConfigError: there is no such suite, or a key or an option in it is wrong: names the
            file and the key.
    """
    path = find_suite(asked.suite, asked.conf)
    file, planned = read_suite_file(path)
    runs = [_checked(path, one, asked) for one in planned]
    names = [run.name for run in runs]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ConfigError(
                f"two runs are called {name!r}",
                where=f"{path}: {planned[place].key}",
                fix="give one of them a name, or the matrix one value fewer",
            )
    return Suite(path.stem, file.description, tuple(_only(runs, asked, path)))


def _only(runs: Sequence[SuiteRun], asked: NightlyParameters, path: Path) -> Sequence[SuiteRun]:
    """Return the runs that ``--only`` names; all of them without it."""
    names = [run.name for run in runs]
    for name in asked.only:
        if name not in names:
            raise ConfigError(
                f"there is no run {name!r} in {path}",
                where="--only",
                expected="one of " + "; ".join(names),
            )
    return [run for run in runs if not asked.only or run.name in asked.only]


def _checked(path: Path, planned: Planned, asked: NightlyParameters) -> SuiteRun:
    where = f"{path}: {planned.key}"
    for name in _NIGHTLYS:
        if name in planned.options:
            raise ConfigError(
                "is no option of a suite",
                where=f"{where}.{name}",
                fix=f"give it to all runs: mlubench nightly --{name}",
            )
    for name in _THRESHOLDS:
        if name in planned.options:
            raise ConfigError(
                "is a threshold",
                where=f"{where}.{name}",
                fix=f"give it among the gates: gates: {{{name}: {planned.options[name]}}}",
            )
    gates = _gates(planned, where)
    try:
        parameters = _parameters(path.parent, planned, gates, asked)
        _check_names(parameters)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise ConfigError(fault_text(fault), where=f"{where}.{key}", fix=_HELP) from error
    except ConfigError as error:
        key = error.where.removeprefix("--").replace(" ", ": ")
        raise ConfigError(
            error.what, where=f"{where}.{key}", expected=error.expected, fix=_HELP
        ) from error
    return SuiteRun(
        _name(planned, parameters),
        parameters,
        gates,
        planned.baseline,
        _absent(planned, parameters),
        planned.explain,
    )


def _gates(planned: Planned, where: str) -> Gates:
    try:
        return Gates.model_validate(planned.gates)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise ConfigError(fault_text(fault), where=f"{where}.gates.{key}", fix=_HELP) from error


def _parameters(
    folder: Path, planned: Planned, gates: Gates, asked: NightlyParameters
) -> Parameters:
    options: dict[str, object] = {
        **planned.options,
        **{name: folder / str(planned.options[name]) for name in _PATHS if name in planned.options},
        "out": asked.out,
        "conf": asked.conf,
        "artifacts": asked.artifacts,
    }
    if planned.kind == "benchmark":
        return BenchParameters.model_validate(options)
    if asked.image_num is not None:
        options["image_num"] = asked.image_num
    parameters = EvaluateParameters.model_validate(options)
    # Its own page and state then say what the gates say.
    thresholds: dict[str, object] = {"max_corrupt": gates.max_corrupt}
    if REFERENCE in parameters.precision and not gates.max_drop_of:
        thresholds["max_drop"] = gates.max_drop
    return parameters.model_copy(update=thresholds)


def _check_names(parameters: Parameters) -> None:
    """Tell of a network, dataset or engine that is not there now, not in the middle of the night.

    Raises:
        ConfigError: one is not.
    """
    traits(parameters.engine)
    if isinstance(parameters, BenchParameters):
        network_in_any_order(parameters)
        return
    choose_network(parameters)
    if parameters.dataset is not None:
        catalogue.entry_named(catalogue.datasets(parameters.conf), parameters.dataset, "--dataset")


def _name(planned: Planned, parameters: Parameters) -> str:
    """Return a run's name: its entry's or what is run, and what the matrix varies beside that."""
    name = planned.name or parameters.name
    said = re.split(r"[ ,]+", name)
    varied = (f"{key} {_text(value)}" for key, value in planned.varied.items() if value not in said)
    return ", ".join([name, *varied])


def _text(value: JsonValue) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _absent(planned: Planned, parameters: Parameters) -> str:
    """Return what the host lacks of what the suite lets it lack; nothing if nothing."""
    if "images" in planned.skip_without and isinstance(parameters, EvaluateParameters):
        lacking = _unset_variables(parameters)
        if lacking:
            return f"{', '.join(lacking)} is not set"
    if "devices" in planned.skip_without and not _has_devices(parameters):
        return f"there is no device for {parameters.engine}"
    return ""


def _unset_variables(
    parameters: EvaluateParameters, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """Return the variables that say where the images are, and do not."""
    if parameters.dataset is None:
        return []
    entry = catalogue.datasets(parameters.conf)[parameters.dataset]
    paths = (entry.path, entry.label_file, entry.calibration)
    named = dict.fromkeys(name for path in paths if path for name in _VARIABLE.findall(path))
    return [name for name in named if not environment.get(name)]


def _has_devices(parameters: Parameters, dev: Path = Path("/dev")) -> bool:
    """Whether the host has a sign of the engine's devices.

    A device node is one even where the SDK does not answer: a card in trouble is a failure, not
    an absence.
    """
    if traits(parameters.engine).family == "cpu" or any(dev.glob("cambricon_dev*")):
        return True
    try:
        counted: Counted = count_devices(engine_host(parameters.engine, parameters.conf))
    except MlubenchError:
        return False
    return counted.devices > 0
