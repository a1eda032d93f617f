"""``mlubench layers``: where a compiled network's time goes."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from mlubench.cli.console import console


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
    from mlubench.pipeline.layer_profile import ProfileAsked, profile_models
    from mlubench.pipeline.run_files import write_layers, write_pair
    from mlubench.reports.layer_table import (
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
