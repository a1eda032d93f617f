"""Where finished shards wait until their run is complete.

A workspace belongs to the inputs, not to a run: after a kill the next run of the same inputs
finds the shards that were finished and does the others. A run that completes empties it, so the
next one measures everything anew. Two runs of the same inputs at once have a workspace each.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.compile import Compiled
from mlubench.store import content_key, locked_if_free, make_folder


class Workspace:
    """A folder of finished shards, one sub-folder for each precision."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def shards(self, precision: str) -> Path:
        """Return the folder of a precision's shards, made if absent.

        Raises:
            StoreError: it cannot be made.
        """
        folder = self.folder / precision
        make_folder(folder)
        return folder

    def clear(self) -> None:
        """Remove what is kept, for its run is complete, and what killed runs of its inputs kept."""
        _remove(self.folder)
        for other in self.folder.parent.glob(f"{self.folder.stem}.*[0-9]/"):
            with locked_if_free(_lock(other)) as free:
                if free:
                    _remove(other)


@contextlib.contextmanager
def unfinished_shards(
    root: Path, images: DecodedImages | Decoding, compiled: Sequence[Compiled]
) -> Iterator[Workspace]:
    """Give the workspace of these inputs, held against other runs until the end.

    Args:
        root: folder of all workspaces.
        images: what is inferred.
        compiled: the networks; with the images they are all that a shard's result depends on.

    Raises:
        StoreError: the folder cannot be written.
    """
    networks = sorted(one.key for one in compiled)
    key = content_key({"images": images.path.parent.name, "networks": networks})
    # One that a killed run left shards in comes before one without.
    kept = sorted(root.glob(f"{key}.*[0-9]/"))
    for folder in itertools.chain(kept, (root / f"{key}.{n}" for n in itertools.count())):
        with locked_if_free(_lock(folder)) as free:
            if free:
                yield Workspace(folder)
                return


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
