"""``make bench-orchestration``: what Prefect costs an evaluation.

SqueezeNet v1.1 in int8 on photographs that are decoded, the network compiled. An evaluation through
Prefect, its server running, in turn with the same work by the same functions without it: tasks are
what they wrap, nothing is told to a server. Few images, then many: what grows with them is the
progress that is told.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.photographs import photographs
from flows.launch import prepare_prefect
from mlubench.evaluate.options import EvaluateParameters, check_parameters
from mlubench.runs.folders import Run
from tests.support.plain_flow import plain_flows


def main() -> None:
    """Print the seconds of both ways and their difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="with few images")
    parser.add_argument("--images", type=int, nargs="+", default=[512, 50_000])
    # As the tests find it: tests/conftest.py.
    root = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", root.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    given = parser.parse_args()
    console = Console(width=100, highlight=False)
    table = Table("images", "rounds", "through Prefect, s", "without, s", "difference, s", "%")
    table.box, table.title = None, f"SqueezeNet v1.1, int8; {machine()}"
    with tempfile.TemporaryDirectory() as folder:
        prepare_prefect(Path(folder) / "artifacts")
        asked = _asked(given.data, Path(folder), max(given.images))
        for images in sorted(given.images):
            rounds = given.rounds if images == min(given.images) else 1
            pairs = list(_pairs(asked.model_copy(update={"image_num": images}), rounds))
            through, without = (statistics.median(each) for each in zip(*pairs, strict=True))
            more = statistics.median(one - other for one, other in pairs)
            cells = (
                f"{through:.2f}",
                f"{without:.2f}",
                f"{more:.2f}",
                f"{100 * more / without:.1f}",
            )
            table.add_row(str(images), str(rounds), *cells)
    console.print(table)


def _asked(data: Path, folder: Path, images: int) -> EvaluateParameters:
    photos = photographs(data, folder, images)
    return check_parameters(
        prototxt=data / "squeezenet_v1.1.prototxt",
        caffemodel=data / "squeezenet_v1.1.caffemodel",
        input_size=227,
        means=(104, 117, 123),
        label_order="2012",
        image_dir=photos.scored,
        label_file=photos.labels,
        label_file_order="2012",
        calibration_dir=photos.calibration,
        precision=("qint8_mixed_float16",),
        out=folder / "artifacts",
    )


def _pairs(asked: EvaluateParameters, rounds: int) -> Iterator[tuple[float, float]]:
    """Yield the seconds of an evaluation through Prefect and without it."""
    _through(asked)  # decodes and compiles
    for number in range(rounds):
        ways: tuple[Callable[[EvaluateParameters], float], ...] = (_through, _without)
        figures = [way(asked) for way in (ways if number % 2 else ways[::-1])]
        through, without = figures if number % 2 else figures[::-1]
        yield through, without


def _through(asked: EvaluateParameters) -> float:
    from flows.ending import outcome_of
    from flows.evaluate import evaluate

    begun = time.perf_counter()
    outcome = outcome_of(evaluate(asked, return_state=True))
    seconds = time.perf_counter() - begun
    if isinstance(outcome, BaseException):
        raise outcome
    shutil.rmtree(outcome.folder)  # or the next one compares itself with it
    return seconds


def _without(asked: EvaluateParameters) -> float:
    import flows.evaluate

    with plain_flows():
        begun = time.perf_counter()
        run = Run(asked.out)
        with run.in_use():
            outcome = flows.evaluate._evaluate(asked, run)
        seconds = time.perf_counter() - begun
    shutil.rmtree(outcome.folder)
    return seconds


if __name__ == "__main__":
    main()
