"""What the command line does before a flow starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import launch
from mlubench import cli
from mlubench.errors import MlubenchError, StoreError
from mlubench.evaluate import images
from mlubench.evaluate.options import check_parameters
from tests.flows.conftest import Evaluate
from tests.support.plain_command import plain_evaluations


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nosuch"], "no 'nosuch' in the catalogue"),
        (["--dataset", "nosuch"], "no 'nosuch' in the catalogue"),
        (["--conf", "{0}"], "no models.yaml, datasets.yaml or engines.yaml in it"),
        (["--build_config", "{0}/absent"], "--build_config"),
        (
            ["--image_dir", "{0}/absent"],
            "absent",
        ),
    ],
)
def test_what_is_named_wrongly_is_told_before_prefect_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(launch, "prepare_prefect", lambda _: pytest.fail("Prefect starts"))
    given = [option.format(tmp_path) for option in options]
    assert cli.main(["eval", *given, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def test_the_images_are_looked_at_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    choose = images.choose_images

    def counted(*arguments: Any) -> images.ChosenImages:
        looks.append(arguments[0].image_num)
        return choose(*arguments)

    monkeypatch.setattr(images, "choose_images", counted)
    arguments = ["eval", "--precision", "force_float32", "--image_num", "40", "--out", str(out)]
    with plain_evaluations():
        assert cli.main(arguments) == 0
    assert looks == [40]


def test_a_flow_of_other_parameters_looks_for_itself(run: Evaluate, out: Path) -> None:
    from flows.evaluate import images_at_hand

    asked = check_parameters(out=out, image_num=40, precision=("force_float32",))
    chosen = launch._checked_images(asked)
    with images_at_hand(asked, chosen):
        outcome = run(image_num=24, precision=("force_float32",))
    assert outcome.record.dataset.images.scored == 24


def test_a_server_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with (
        pytest.raises(MlubenchError, match="server failed or ended: refused") as caught,
        launch.prefect_told(),
    ):
        raise httpx.ConnectError("refused")
    assert caught.value.where == "http://127.0.0.1:9/api"
    assert caught.value.exit_status == 4


def test_a_server_that_cannot_write_its_database_is_the_disks_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError) as caught, launch.prefect_told():
        raise httpx.ConnectError("refused")
    assert str(tmp_path / "file") in caught.value.where
