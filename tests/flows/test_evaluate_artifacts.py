"""What Prefect's UI shows of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.flows.conftest import Evaluate

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Artifact

FEW = {"precision": ("force_float32",), "image_num": 20}
ADDRESS = "http://127.0.0.1:1"


@pytest.fixture
def served(prefect_server: str, out: Path) -> Iterator[None]:
    from prefect.variables import Variable

    from tasks.pages import PAGES

    Variable.set(PAGES, {"address": ADDRESS, "folder": str(out.resolve())}, overwrite=True)
    yield
    Variable.unset(PAGES)


def _artifacts(run_id: str) -> dict[str | None, Artifact]:
    """Return the artifacts whose description names a run, by key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["accuracy", "summary", "report", "plot"]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, limit=200, sort="CREATED_DESC")
    return {one.key: one for one in found if run_id in str(one.description)}


def test_the_page_is_linked_and_the_main_picture_shown(served: None, prefect_run: Evaluate) -> None:
    outcome = prefect_run(**FEW)
    found = _artifacts(outcome.record.run_id)
    assert set(found) == {"accuracy", "summary", "report", "plot"}
    place = f"{ADDRESS}/runs/{outcome.folder.name}"
    assert (found["plot"].type, found["plot"].data) == ("image", f"{place}/plot.png")
    assert f"({place}/report.html)" in str(found["report"].data)
    assert (outcome.folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_where_no_page_is_served_the_link_is_to_the_file(prefect_run: Evaluate) -> None:
    outcome = prefect_run(**FEW)
    found = _artifacts(outcome.record.run_id)
    assert set(found) == {"accuracy", "summary", "report"}
    page = (outcome.folder / "report.html").resolve().as_uri()
    assert f"({page})" in str(found["report"].data)
