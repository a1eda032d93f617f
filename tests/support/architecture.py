"""``make diagram``: the diagram of docs/architecture.md, drawn again from the imports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.imports import diagram

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs" / "architecture.md"


def product_files() -> list[str]:
    """Return the product's Python files as Git knows them, generated ones left out."""
    listed = subprocess.run(
        [
            *("git", "ls-files", "--cached", "--others", "--exclude-standard"),
            *("mlubench/*.py", "flows/*.py", "tasks/*.py"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [name for name in listed if "_pb2" not in name and (ROOT / name).is_file()]


def drawn(text: str) -> str:
    """Return the document with the diagram as the imports are now."""
    now = f"```mermaid\n{diagram(ROOT, product_files())}\n```"
    return re.sub(r"```mermaid\n.*?\n```", lambda _: now, text, flags=re.DOTALL)


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
