"""``mlubench run`` on the sample's networks, compiled once for cores and for simulated cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlubench import cli
from mlubench.conf import CONF
from mlubench.mm_run.parse import parse_report
from mlubench.mm_run.results import Report
from mlubench.pipeline.offline import compile_offline
from mlubench.pipeline.parameters import CompileParameters
from tests.support.simulated_sdk import environment, misuses

QUICK = {"--warmup": 10, "--duration": 0, "--iterations": 6}
ENGINES = ("openvino", "magicmind")
SAMPLE = CONF / "sample" / "se_resnet50_digits"
#: The sample's networks: name -> options of their compiling.
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


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """The sample compiled for both engines, once."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        for engine in ENGINES:
            for name, options in MODELS.items():
                asked = CompileParameters(
                    engine=engine,
                    out=folder,
                    magicmind_model=folder / f"{engine} {name}",
                    **options,
                )
                found[engine, name] = compile_offline(asked, lambda *_: None).path
    return found


class Run:
    """Runs the verb on a network of an engine, and keeps what it said."""

    def __init__(
        self,
        engine: str,
        models: dict[tuple[str, str], Path],
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
    models: dict[tuple[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    variables = environment(tmp_path / "sdk", cards=2)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield Run(request.param, models, capsys)
    assert misuses(variables) == []


@pytest.fixture
def openvino(models: dict[tuple[str, str], Path], capsys: pytest.CaptureFixture[str]) -> Run:
    return Run("openvino", models, capsys)
