"""``mlubench infer``: infer_cpp."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mlubench.pipeline.parameters import InferParameters

_DAMAGED = 2
_NAMED = 10


def infer(*, parameters: Annotated[InferParameters, Parameter(name="*")]) -> int:
    """Run a compiled network over images, as infer_cpp does.

    Results are the seed's text files; true classes are written where a label list or the images'
    folders or names tell them. Damaged images are in none of them; they are told, and
    the exit status is then 2.
    """
    from mlubench.pipeline.classify import classify_folder

    done = classify_folder(parameters, lambda *_: None)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"{done.images} images, run as {done.executed_precision}")
    for option, path in done.files.items():
        console.print(f"{option}: {path}")
    for image in done.corrupt[:_NAMED]:
        console.print(f"damaged, left out: {image.name}: {image.kind}")
    if len(done.corrupt) > _NAMED:
        console.print(f"damaged, left out: {len(done.corrupt) - _NAMED} more")
    for remark in done.remarks:
        console.print(remark)
    return _DAMAGED if done.corrupt else 0
