"""Files on their way to a store or from it: what they are, how many at once, how far they are."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlubench.object_store.manifest import FileFacts
from mlubench.store import TEMPORARY, store_error

#: Called with bytes done and bytes in all.
Progress = Callable[[int, int], None]


def untold(_done: int, _total: int) -> None:
    """Tell nobody how far it is."""


#: So many files at once, each with so many bytes of it in memory.
THREADS = 8
CHUNK_BYTES = 8 << 20
#: Seconds between two looks at how far they are.
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Source:
    """A file to publish, or a part of one.

    Attributes:
        name: of the file in the entry.
        path: where its bytes are on this host.
        offset: where they begin.
        size: how many they are, in bytes; None are all that follow.
    """

    name: str
    path: Path
    offset: int = 0
    size: int | None = None

    def chunks(self) -> Iterator[bytes]:
        """Give the bytes, some at a time.

        Raises:
            StoreError: they cannot be read.
        """
        left = self.size
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                while block := stream.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
                    left = None if left is None else left - len(block)
                    yield block
        except OSError as error:
            raise store_error(error, self.path, "read") from error

    def facts(self) -> FileFacts:
        """Return the size and the digest of the bytes."""
        digest, size = hashlib.sha256(), 0
        for block in self.chunks():
            digest.update(block)
            size += len(block)
        return FileFacts(size, digest.hexdigest())


def sources_below(folder: Path) -> list[Source]:
    """Return every file of a folder, but for what is being written."""
    return [
        Source(path.relative_to(folder).as_posix(), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(TEMPORARY)
    ]


class Counted:
    """Counts bytes that go by in several threads, and tells of them in one."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def __call__(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Give the blocks, each counted when the next is asked for."""
        for block in blocks:
            yield block
            with self._lock:
                self._done += len(block)

    def tell(self) -> None:
        """Tell how far it is."""
        self._progress(self._done, max(self._total, self._done))


def at_once(work: Callable[[Any], None], items: Sequence[Any], tell: Callable[[], None]) -> None:
    """Do something with each, some at a time; the first error ends it."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="depot") as pool:
        waiting = {pool.submit(work, item) for item in items}
        try:
            while waiting:
                done, waiting = wait(waiting, _LOOK_SECONDS, FIRST_EXCEPTION)
                for one in done:
                    one.result()
                tell()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
