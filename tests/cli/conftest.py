"""``mlubench run`` on a small network, compiled once for cores and for simulated cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlubench import cli
from mlubench.images.datasets.digits import DigitsPaths, write_digits
from mlubench.magicmind_sample.gen_model import compile_offline
from mlubench.magicmind_sample.options import CompileParameters
from mlubench.speed.mm_run.tool.parse import parse_report
from mlubench.speed.mm_run.tool.results import Report
from mlubench.store import atomic_folder, locked
from tests.support.lasting_workers import LastingWorkers
from tests.support.session import session_folder
from tests.support.simulated_sdk import environment, misuses
from tests.support.small_digits import write_first_blocks, write_small_digits

QUICK = {"--warmup": 10, "--duration": 0, "--iterations": 6}
ENGINES = ("openvino", "magicmind")
#: The networks: name -> options of their compiling.
MODELS: dict[str, dict[str, Any]] = {
    "static": {"batch_size": 2},
    "static of 4": {"batch_size": 4},
    "dynamic": {"dynamic_shape": True, "batch_size": 1},
    "dynamic of 4": {"dynamic_shape": True, "batch_size": 4},
    "ranged": {
        "dynamic_shape": True,
        "batch_size": 2,
        "dim_range_min": (1, 3, 56, 56),
        "dim_range_max": (4, 3, 56, 56),
    },
}
#: What the sample's networks say of their input.
SAMPLE_INPUT: dict[str, Any] = {"input_size": 56, "means": (104, 117, 123), "resize": "none"}
#: Precisions to be compared -> options of their compiling.
TWO_PRECISIONS: dict[str, dict[str, Any]] = {
    "force_float32": {},
    "qint8_mixed_float16": {"random_calib_range": (-1.0, 1.0)},
}
Models = dict[tuple[str, str], Path]


@pytest.fixture(scope="package")
def workers() -> Iterator[LastingWorkers]:
    """Workers of all tests here."""
    lasting = LastingWorkers()
    yield lasting
    lasting.close()


@pytest.fixture(scope="module", autouse=True)
def _workers_last(workers: LastingWorkers) -> Iterator[None]:
    """A command's end ends no worker, which the next command has no need to start."""
    with workers.in_use():
        yield


@pytest.fixture(scope="session")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small network of the sample's input and classes, as options of compiling."""
    prototxt, caffemodel = write_small_digits(tmp_path_factory.mktemp("small"))
    return {"prototxt": prototxt, "caffemodel": caffemodel, **SAMPLE_INPUT}


@pytest.fixture(scope="session")
def small_options(small_network: dict[str, Any]) -> list[str]:
    """The small network as words of a command line."""
    return as_words(small_network)


def as_words(network: dict[str, Any]) -> list[str]:
    """Return options of compiling as words of a command line."""
    words = []
    for name, value in network.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name}", *map(str, values)]
    return words


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> DigitsPaths:
    """The sample's images; leave them as they are."""
    return write_digits(tmp_path_factory.mktemp("images") / "digits")


@pytest.fixture(scope="session")
def models(
    tmp_path_factory: pytest.TempPathFactory, small_network: dict[str, Any], cards: dict[str, str]
) -> Models:
    """The small network compiled for both engines, once for all processes of tests."""
    folder = session_folder(tmp_path_factory) / "models-to-run"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            with atomic_folder(folder) as new:
                _compile(new, small_network, cards)
    return {(engine, name): folder / f"{engine} {name}" for engine in ENGINES for name in MODELS}


def _compile(folder: Path, network: dict[str, Any], cards: dict[str, str]) -> None:
    workers = LastingWorkers()
    with pytest.MonkeyPatch.context() as patch, workers.in_use():
        for name, value in cards.items():
            patch.setenv(name, value)
        for engine in ENGINES:
            for name, options in MODELS.items():
                asked = CompileParameters(
                    engine=engine,
                    out=folder / "artifacts",
                    magicmind_model=folder / f"{engine} {name}",
                    **network,
                    **options,
                )
                compile_offline(asked, lambda *_: None)
    workers.close()


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample's first blocks in two precisions, once for all processes of tests.

    Its batch is such that a layer takes long enough for its time to be told. Its classifier has
    many classes, with which OpenVINO is slow in int8.
    """
    folder = session_folder(tmp_path_factory) / "blocks"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            with atomic_folder(folder) as new:
                prototxt, caffemodel = write_first_blocks(new)
                files = {"prototxt": prototxt, "caffemodel": caffemodel}
                compile_twice(
                    new, batch_size=32, keep_float=("classifier",), **files, **SAMPLE_INPUT
                )
    return {precision: folder / precision for precision in TWO_PRECISIONS}


def compile_twice(
    folder: Path, keep_float: tuple[str, ...] = (), **options: Any
) -> dict[str, Path]:
    """Compile a network in two precisions, its ranges made up; return the paths by precision.

    Args:
        folder: for them.
        keep_float: layers that are not quantised.
        **options: of both.
    """
    floats: dict[str, Any] = {"keep_float": keep_float} if keep_float else {}
    return {
        precision: compile_offline(
            CompileParameters(
                precision=precision,
                out=folder / "artifacts",
                magicmind_model=folder / precision,
                **options,
                **(own and {**own, **floats}),
            ),
            lambda *_: None,
        ).path
        for precision, own in TWO_PRECISIONS.items()
    }


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that give a process two simulated cards."""
    return environment(tmp_path_factory.mktemp("sdk"), cards=2)


class Run:
    """Runs the verb on a network of an engine, and keeps what it said."""

    def __init__(
        self,
        engine: str,
        models: Models,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.engine = engine
        self._models, self._capsys = models, capsys
        self.err = ""

    def model(self, name: str) -> Path:
        return self._models[self.engine, name]

    def __call__(self, *options: object, model: str = "static", status: int = 0) -> str:
        usual = {"--magicmind_model": self._models[self.engine, model], **QUICK}
        words = ["run", *options]
        for name, value in usual.items():
            words += [] if name in options else [name, value]
        done = cli.main([str(word) for word in words])
        said = self._capsys.readouterr()
        self.err = said.err
        assert done == status, said.out + said.err
        assert "Traceback" not in said.err
        return said.out

    def report(self, *options: object, model: str = "static") -> Report:
        return parse_report(self(*options, model=model))

    def refused(self, *options: object, model: str = "static") -> str:
        assert self(*options, model=model, status=2) == ""
        return " ".join(self.err.split())


@pytest.fixture(params=ENGINES)
def run(
    request: pytest.FixtureRequest,
    models: Models,
    cards: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    for name, value in cards.items():
        monkeypatch.setenv(name, value)
    yield Run(request.param, models, capsys)
    assert misuses(cards) == []


@pytest.fixture
def openvino(models: Models, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run("openvino", models, capsys)
