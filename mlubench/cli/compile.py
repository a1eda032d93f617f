"""``mlubench compile``: gen_model."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mlubench.pipeline.parameters import CompileParameters

_ASKED_NOTHING = CompileParameters()


def compile_model(
    *, parameters: Annotated[CompileParameters, Parameter(name="*")] = _ASKED_NOTHING
) -> int:
    """Compile a network in one precision, as gen_model does; without options, the sample.

    --image_dir names the images to calibrate on (with --label_file, those that it lists).
    """
    from mlubench.pipeline.offline import compile_offline

    model = compile_offline(parameters, lambda *_: None)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if model.simulated:
        console.print(f"simulated: {model.simulated}")
    if model.speed_only:
        console.print("made-up ranges: this network measures speed, its answers mean nothing")
    console.print(f"Generate model done, model save to {model.path}")
    return 0
