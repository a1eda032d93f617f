"""How fast a network is: ``mlubench run`` and ``layers``."""

from __future__ import annotations

import json as json_format
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from mlubench.cli.console import console
from mlubench.errors import ConfigError
from mlubench.speed.mm_run.options import RunParameters

if TYPE_CHECKING:
    from mlubench.speed.mm_run.stages import StageTimes


def run(
    *,
    parameters: Annotated[RunParameters, Parameter(name="*")],
    json: Annotated[bool, Parameter(help="print JSON in place of mm_run's text")] = False,
    table: Annotated[bool, Parameter(help="print a table with intervals in its place")] = False,
) -> int:
    """Measure a compiled network's throughput and latency, as mm_run does.

    What may have disturbed the figures is told on standard error.
    """
    if json and table:
        raise ConfigError(
            "are both given", where="--json and --table", expected="one of the two", fix=""
        )
    if parameters.native:
        return _native(parameters, json=json, table=table)
    if parameters.scenario is not None:
        return _scenario(parameters, json=json)
    from mlubench.speed.mm_run.document import notes, run_document
    from mlubench.speed.mm_run.files import write_files
    from mlubench.speed.mm_run.report import run_report, stage_times
    from mlubench.speed.mm_run.run import run_model
    from mlubench.speed.mm_run.tool.text import to_text
    from mlubench.speed.profile.table import layer_table

    done = run_model(parameters)
    files = write_files(done)
    _tell(notes(done), files)
    if json:
        _print_json(run_document(done, files))
    elif table:
        found, bed = done.found, done.bed
        heading = (
            f"{bed.model.name} {bed.model.spec.precision}, run as "
            f"{bed.prepared.executed_precision}\n"
            f"by {bed.engine} {bed.engine_version} on {' '.join(bed.devices)}\n"
            f"{found.throughput:.6g} images/s, {len(found.group)} requests in "
            f"{found.wall_seconds:.3f} s"
        )
        _print_stages(heading, stage_times(done))
        if done.layers is not None:
            console().print(layer_table(done.layers))
    else:
        sys.stdout.write(to_text(run_report(done)))
    return 0


def _native(parameters: RunParameters, *, json: bool, table: bool) -> int:
    from mlubench.speed.mm_run.document import native_document, native_times
    from mlubench.speed.mm_run.tool.native import run_native
    from mlubench.speed.mm_run.tool.text import to_text

    usual = Path("artifacts", "output", parameters.magicmind_model.resolve().name)
    done = run_native(parameters, (parameters.out or usual) / "mm_run.log")
    _tell([], {"log": done.log})
    performance = done.report.performance
    if json:
        _print_json(native_document(done))
    elif table:
        heading = (
            f"{parameters.magicmind_model}, measured by {done.command[0]}\n"
            f"{performance.qps:.6g} images/s, {performance.iterations} iterations in "
            f"{performance.wall_seconds:.3f} s"
        )
        _print_stages(heading, native_times(done.report))
    else:
        sys.stdout.write(to_text(done.report))
    return 0


def _scenario(parameters: RunParameters, *, json: bool) -> int:
    from mlubench.speed.mm_run.document import scenario_document, scenario_notes
    from mlubench.speed.mm_run.scenario_table import scenario_lines, scenario_table
    from mlubench.speed.mm_run.scenarios import run_scenario, write_queries

    done = run_scenario(parameters)
    files = write_queries(done)
    _tell(scenario_notes(done), files)
    if json:
        _print_json(scenario_document(done, files))
    else:
        screen = console()
        for line in scenario_lines(done.result):
            screen.print(line, markup=False, soft_wrap=True)
        if done.result.latencies is not None:
            screen.print(scenario_table(done.result))
    status: int = done.result.exit_status
    return status


def _tell(remarks: Iterable[str], files: Mapping[str, Path]) -> None:
    screen = console(stderr=True)
    for remark in remarks:
        screen.print(f"note: {remark}", markup=False, soft_wrap=True)
    for option, path in files.items():
        screen.print(f"{option}: {path}", markup=False, soft_wrap=True)


def _print_json(document: Mapping[str, Any]) -> None:
    text = json_format.dumps(_finite(document), indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


def _finite(value: Any) -> Any:
    """Return a value with null for what JSON has no number for, as mm_run's nan and inf."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def _print_stages(heading: str, times: Sequence[StageTimes]) -> None:
    from mlubench.speed.mm_run.stages import stage_table

    screen = console()
    screen.print(heading, markup=False, soft_wrap=True)
    groups = sorted({one.group for one in times})
    for group in groups:
        if len(groups) > 1:
            screen.print(f"\ninput shape group {group}", markup=False)
        screen.print(stage_table([one for one in times if one.group == group]))


def layers(
    model: Annotated[Path, Parameter(help="what mlubench compile wrote")],
    other: Annotated[Path | None, Parameter(help="the same network in another precision")] = None,
    /,
    *,
    batch_size: Annotated[
        int | None, Parameter(help="of a dynamic network", validator=Number(gte=1))
    ] = None,
    devices: Annotated[str, Parameter(help="device to run on")] = "0",
    streams: Annotated[
        int,
        Parameter(
            help="inferences side by side, on openvino (1: one layer has all cores)",
            validator=Number(gte=1),
        ),
    ] = 1,
    warmup: Annotated[
        int, Parameter(help="milliseconds before measuring", validator=Number(gte=0))
    ] = 200,
    out: Annotated[Path | None, Parameter(help="folder for the table, CSV, JSON and SVG")] = None,
    json: Annotated[bool, Parameter(help="print JSON")] = False,
    conf: Annotated[
        tuple[Path, ...], Parameter(help="folders with an engines.yaml of your own")
    ] = (),
) -> int:
    """Show how long each layer takes, by Caffe's names; of two precisions side by side.

    Layers that either precision runs as one count as one in both. To time layers slows them: the
    sum is more than an inference takes. The ratio is the first's time over the second's.
    """
    from mlubench.speed.profile.files import write_layers, write_pair
    from mlubench.speed.profile.layers import ProfileAsked, profile_models
    from mlubench.speed.profile.table import (
        layer_table,
        layers_document,
        pair_document,
        pair_table,
    )
    from mlubench.store import make_folder

    if out is not None:
        make_folder(out)
    asked = ProfileAsked(batch_size, devices, streams, warmup, conf)
    times = profile_models([model] if other is None else [model, other], asked)
    if out is not None:
        write_layers(out, times[0]) if other is None else write_pair(out, *times)
        console(stderr=True).print(f"out: {out}", markup=False, soft_wrap=True)
    if json:
        document = layers_document(times[0]) if other is None else pair_document(*times)
        sys.stdout.write(json_format.dumps(document, indent=2) + "\n")
    else:
        console().print(layer_table(times[0]) if other is None else pair_table(*times))
    return 0
