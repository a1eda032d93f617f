"""MagicMind's sample: ``mlubench compile``, ``infer`` and ``accuracy``, by its scripts' names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mlubench.magicmind_sample.options import CompileParameters, InferParameters

_DEFAULTS = CompileParameters()


def compile_model(
    *, parameters: Annotated[CompileParameters, Parameter(name="*")] = _DEFAULTS
) -> int:
    """Compile a network in one precision, as gen_model does; without options, the sample.

    --image_dir names the images to calibrate on (with --label_file, those that it lists).
    """
    from mlubench.magicmind_sample.gen_model import compile_offline

    model = compile_offline(parameters, lambda *_: None)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if model.simulated:
        console.print(f"simulated: {model.simulated}")
    if model.speed_only:
        console.print("made-up ranges: this network measures speed, its answers mean nothing")
    console.print(f"Generate model done, model save to {model.path}")
    return 0


_DAMAGED = 2
_NAMED = 10


def infer(*, parameters: Annotated[InferParameters, Parameter(name="*")]) -> int:
    """Run a compiled network over images, as infer_cpp does.

    Results are the seed's text files; true classes are written where a label list or the images'
    folders or names tell them. Damaged images are in none of them; they are told, and
    the exit status is then 2.
    """
    from mlubench.magicmind_sample.infer_cpp import classify_folder

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


def accuracy(
    *,
    result_label_file: Path,
    result_1_file: Path,
    result_5_file: Path,
    top1andtop5_file: Path | None = None,
) -> int:
    """Compute top-1 and top-5 from the seed's text files, as compute_top1_and_top5.py does.

    Args:
        result_label_file: eval_labels.txt, true classes.
        result_1_file: eval_result_1.txt, the best class of each image.
        result_5_file: eval_result_5.txt, five classes of each image.
        top1andtop5_file: where the two figures are written too.
    """
    from mlubench.magicmind_sample.accuracy import samples_accuracy
    from mlubench.magicmind_sample.files import accuracy_text, write_text
    from mlubench.store import atomic_path

    text = accuracy_text(*samples_accuracy(result_label_file, result_1_file, result_5_file))
    if top1andtop5_file is not None:
        with atomic_path(top1andtop5_file) as temporary:
            write_text(temporary, [text])
    Console(highlight=False).print(text.decode(), end="")
    return 0
