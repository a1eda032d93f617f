"""Where a browser finds the pages that runs leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

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
