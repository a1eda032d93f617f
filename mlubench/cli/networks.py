"""Networks before they are compiled: ``mlubench fetch`` and ``inspect``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mlubench import catalogue
from mlubench.catalogue import ModelEntry
from mlubench.cli.console import console
from mlubench.errors import ConfigError, DownloadError, NetworkError
from mlubench.networks.fetch.download import Downloads
from mlubench.networks.fetch.files import Fetched, chosen_models, fetch_files, files_to_fetch
from mlubench.networks.inspect.caffe_layers import layer_rows, print_layers
from mlubench.networks.inspect.onnx_layers import onnx_rows
from mlubench.runs.folders import models_folder


def fetch(
    *names: str,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    mirror: tuple[str, ...] = (),
    conf: tuple[Path, ...] = (),
    out: Path = Path("artifacts"),
) -> None:
    """Fetch networks of conf/models.yaml into OUT/models/NAME; what is there and right stays.

    Args:
        names: of the catalogue.
        all_: every network of the catalogue.
        mirror: folders or URLs that are tried first; files lie there by their names, or in a
            folder of the network's name.
        conf: folders with a models.yaml of your own.
        out: folder of runs and caches.
    """
    chosen = chosen_models(catalogue.models(conf), names, every=all_)
    faults: list[DownloadError | NetworkError] = []
    for name, entry in chosen.items():
        try:
            _fetch_one(name, entry, mirror, models_folder(out))
        except (DownloadError, NetworkError) as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        told = "".join(f"\n{error}" for error in faults)
        raise NetworkError(f"{len(faults)} files are lacking{told}", where="mlubench fetch")


def _fetch_one(name: str, entry: ModelEntry, mirrors: tuple[str, ...], models: Path) -> None:
    out = Console(highlight=False, soft_wrap=True)
    wanted = files_to_fetch(name, entry, models)
    if not wanted.files:
        out.print(f"{name}: is with its catalogue", markup=False)
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bars:
        bar = bars.add_task(name, total=None)
        downloads = Downloads(
            progress=lambda done, total: bars.update(bar, completed=done, total=total),
            remark=lambda text: bars.console.print(text, markup=False, soft_wrap=True),
        )

        def tell(file: Fetched) -> None:
            how = "fetched" if file.anew else "was there"
            out.print(f"{name}: {how}, {file.path}", markup=False)

        fetch_files(wanted, downloads, mirrors, tell)


def inspect(
    *,
    model: str | None = None,
    prototxt: Path | None = None,
    caffemodel: Path | None = None,
    onnx: Path | None = None,
    input_size: Annotated[int | None, Parameter(validator=validators.Number(gt=0))] = None,
    conf: tuple[Path, ...] = (),
    out: Path = Path("artifacts"),
) -> None:
    """Show a network layer by layer: type, shape of the output, parameters, MACs.

    Parameters are the learnt numbers, without BatchNorm's statistics. MACs (a multiplication
    with an addition) are those of convolutions and inner products, for one image.

    Args:
        model: network of conf/models.yaml; its prototxt is fetched if need be.
        prototxt: Caffe's text of a network in no catalogue.
        caffemodel: weights, checked to fit; the figures need none.
        onnx: a network as ONNX.
        input_size: height and width of the images, where the ONNX file leaves them open.
        conf: folders with a models.yaml of your own.
        out: folder of runs and caches.
    """
    given = {"--model": model, "--prototxt": prototxt, "--onnx": onnx}
    named = [option for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigError(
            f"{' and '.join(named)} are both given" if named else "no network is named",
            where="mlubench inspect",
            expected="--model NAME, --prototxt FILE or --onnx FILE",
            fix="give one of the three",
        )
    if onnx is not None:
        _refuse("--caffemodel", caffemodel, "an ONNX file holds its weights")
        rows = onnx_rows(onnx, input_size)
    else:
        _refuse("--input_size", input_size, "a prototxt has the size of its input")
        rows = layer_rows(prototxt or _prototxt_of(model or "", conf, out), caffemodel)
    print_layers(rows, console())


def _refuse(option: str, value: object, why: str) -> None:
    if value is not None:
        raise ConfigError(why, where=option, fix=f"leave {option} out")


def _prototxt_of(model: str, conf: tuple[Path, ...], out: Path) -> Path:
    """Return the prototxt of a network of the catalogue, fetched unless it is there."""
    entry = catalogue.entry_named(catalogue.models(conf), model, "--model")
    wanted = files_to_fetch(model, entry, models_folder(out))
    text_only = tuple(file for file in wanted.files if file is entry.prototxt)
    remarks = Console(stderr=True, highlight=False)
    downloads = Downloads(
        progress=lambda *_: None,  # a few kilobytes
        remark=lambda text: remarks.print(text, markup=False),
    )
    fetch_files(replace(wanted, files=text_only), downloads)
    return entry.prototxt.used_place(wanted.folder)
