"""Suites, ``conf/suites/*.yaml``: what is evaluated and measured together, as data.

Here they are read and their matrices spread; what an entry's options mean, and that they are
right, is :mod:`mlubench.nightly.suite`'s to say.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from mlubench.catalogue.yaml_file import read_yaml
from mlubench.conf import CONF
from mlubench.errors import ConfigError
from mlubench.validation import fault_lines

FOLDER = "suites"
_SUFFIX = ".yaml"
#: A matrix grows with each of its options; a night does not.
_MOST_RUNS = 1000
_HELP = "docs/nightly.md says what each key means"

Name = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\n]*$")]
#: What a host may lack without that being an error.
Absent = Literal["images", "devices"]


class SuiteEntry(BaseModel):
    """Evaluations or benchmarks that differ in a few options.

    Attributes:
        name: what the entry is called in tables; made of its options where it is not given.
        matrix: options with a list of values each; there is a run for every combination.
        gates: thresholds of these runs, over the suite's own.
        baseline: what these runs are judged by, in place of the suite's own.
        skip_without: what the host may lack: then the run is skipped, and shown as skipped.
        explain: whether failed gates on accuracy are explained, in place of the suite's own.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue]

    name: Name | None = None
    matrix: dict[str, Annotated[list[JsonValue], Field(min_length=1)]] = {}
    gates: dict[str, JsonValue] = {}
    baseline: Name | None = None
    skip_without: tuple[Absent, ...] = ()
    explain: bool | None = None


class SuiteFile(BaseModel):
    """A suite as it is written.

    Attributes:
        description: in a sentence.
        gates: thresholds of all its runs.
        baseline: what they are judged by: ``last-good``, ``pinned``, ``published``, or a run's id;
            the pinned run, or else the last good one, where it is not given.
        explain: whether failed gates on accuracy are explained.
        evaluations: options of ``mlubench eval``.
        benchmarks: options of ``mlubench bench``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: Name
    gates: dict[str, JsonValue] = {}
    baseline: Name | None = None
    explain: bool = True
    evaluations: tuple[SuiteEntry, ...] = ()
    benchmarks: tuple[SuiteEntry, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A run of a suite, its options not yet checked.

    Attributes:
        key: where it stands in the file, such as ``evaluations.0``.
        kind: which flow runs it.
        name: its entry's, where that has one.
        options: of the command line, by name.
        varied: those of them that the matrix gave.
        gates: thresholds: the suite's, with the entry's over them.
        baseline: what it is judged by.
        skip_without: what the host may lack.
        explain: whether failed gates on accuracy are explained.
    """

    key: str
    kind: Literal["evaluation", "benchmark"]
    name: str | None
    options: Mapping[str, JsonValue]
    varied: Mapping[str, JsonValue]
    gates: Mapping[str, JsonValue]
    baseline: str | None
    skip_without: tuple[Absent, ...]
    explain: bool


def find_suite(name: str, folders: Sequence[Path] = ()) -> Path:
    """Return the file of a suite.

    Args:
        name: of a file in ``conf/suites`` without its ``.yaml``, or a path to one, with it.
        folders: further folders (``--conf``), whose ``suites/`` goes before the project's own.

    Raises:
        ConfigError: there is none.
    """
    if name.endswith(_SUFFIX):
        if Path(name).is_file():
            return Path(name)
        raise ConfigError("there is no such file", where=name, expected="the file of a suite")
    there = suite_files(folders)
    if name in there:
        return there[name]
    raise ConfigError(
        f"there is no suite {name!r}",
        where="SUITE",
        expected="one of " + ", ".join(sorted(there)),
        fix=f"name one of these, or a file; {_HELP}",
    )


def suite_files(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the files of the suites by name; a later folder's go over an earlier one's."""
    return {
        path.stem: path
        for folder in (CONF, *folders)
        for path in sorted((folder / FOLDER).glob(f"*{_SUFFIX}"))
    }


def read_suite_file(path: Path) -> tuple[SuiteFile, list[Planned]]:
    """Return a suite and its runs, matrices spread, in the file's order.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown or wrong; names file and key.
    """
    try:
        suite = SuiteFile.model_validate(read_yaml(path))
    except ValidationError as error:
        faults = fault_lines(error)
        raise ConfigError("; ".join(faults), where=str(path), fix=_HELP) from error
    planned = [
        *_spread(path, suite, "evaluation", suite.evaluations),
        *_spread(path, suite, "benchmark", suite.benchmarks),
    ]
    if not planned:
        raise ConfigError("names nothing to run", where=str(path), fix=_HELP)
    return suite, planned


def _spread(
    path: Path,
    suite: SuiteFile,
    kind: Literal["evaluation", "benchmark"],
    entries: Sequence[SuiteEntry],
) -> list[Planned]:
    planned: list[Planned] = []
    for place, entry in enumerate(entries):
        options = entry.__pydantic_extra__
        if twice := sorted(set(options) & set(entry.matrix)):
            raise ConfigError(
                f"{twice[0]} is given twice, alone and in the matrix",
                where=f"{path}: {kind}s.{place}.matrix.{twice[0]}",
                fix="leave one of them out",
            )
        runs = math.prod(map(len, entry.matrix.values()))
        if len(planned) + runs > _MOST_RUNS:
            raise ConfigError(
                f"there would be {len(planned) + runs} runs",
                where=f"{path}: {kind}s.{place}.matrix",
                expected=f"{_MOST_RUNS} at most",
                fix="leave options or values out, or make several suites",
            )
        for values in itertools.product(*entry.matrix.values()):
            varied = dict(zip(entry.matrix, values, strict=True))
            planned.append(
                Planned(
                    key=f"{kind}s.{place}",
                    kind=kind,
                    name=entry.name,
                    options={**options, **varied},
                    varied=varied,
                    gates={**suite.gates, **entry.gates},
                    baseline=entry.baseline or suite.baseline,
                    skip_without=entry.skip_without,
                    explain=suite.explain if entry.explain is None else entry.explain,
                )
            )
    return planned
