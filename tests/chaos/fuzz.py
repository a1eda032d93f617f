"""One reader under atheris, a fuzzer that is led by coverage.

``python -m tests.chaos.fuzz READER FOLDER ...``: further arguments are libFuzzer's. An input that
makes the reader fail by a fault of its own ends it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

from tests.chaos.reading import READERS, forbid, read_file


def main() -> None:
    """Fuzz until libFuzzer has done what it was asked for."""
    with atheris.instrument_imports(
        include=["mlubench.networks.caffe", "google.protobuf.text_format"]
    ):
        reader = READERS[sys.argv[1]]()
    forbid()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input"

        def one(data: bytes) -> None:
            file.write_bytes(data)
            became, words = read_file(reader, file)
            if became == "FAULT":
                raise RuntimeError(words)

        atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
