"""Where a browser finds the pages that runs leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from prefect.artifacts import create_image_artifact, create_link_artifact
from prefect.variables import Variable

#: Prefect's variable that ``make server`` sets while it serves the pages of a folder of
#: artifacts: {"address": "http://127.0.0.1:4201", "folder": "/where/artifacts"}.
PAGES = "mlubench_pages"


def page_address(page: Path) -> str:
    """Return the address of a page: of the server that serves its folder, or else of the file.

    Browsers do not follow links from a server's page to a file.
    """
    return served_address(page) or page.resolve().as_uri()


def served_address(file: Path) -> str | None:
    """Return the address of a file at the server that serves its folder, if one does."""
    file = file.resolve()
    served: Any = Variable.get(PAGES, default=None)
    if isinstance(served, dict) and {"address", "folder"} <= served.keys():
        folder = Path(served["folder"])
        if file.is_relative_to(folder):
            return f"{served['address']}/{quote(file.relative_to(folder).as_posix())}"
    return None


def link_page(folder: Path, key: str, plot_key: str, what: str) -> None:
    """Show a link to a run's page and, where pages are served, its picture in Prefect's UI.

    Args:
        folder: of the run.
        key: of the link's artifact.
        plot_key: of the picture's.
        what: what the page and its picture show.
    """
    create_link_artifact(
        key=key,
        link=page_address(folder / "report.html"),
        link_text=f"report of {folder.name}",
        description=f"{what}, run {folder.name}",
    )
    # A browser shows no picture of a file on a server's page.
    if (picture := served_address(folder / "plot.png")) is not None:
        create_image_artifact(
            key=plot_key, image_url=picture, description=f"{what}, run {folder.name}"
        )
