"""What becomes of processes and files that others make."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path

#: The environment variable that marks processes and all that they begin.
MARK = "MLUBENCH_TEST_MARK"
_TRIES = 3000
_PAUSE = 0.01


def alive(process: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def becomes(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true, within half a minute."""
    for _ in range(_TRIES):
        if condition():
            return True
        time.sleep(_PAUSE)
    return False


def new_mark() -> str:
    """Return a mark for the environment of a process, which its children inherit."""
    return uuid.uuid4().hex


def marked(mark: str) -> dict[int, str]:
    """Return the command lines of the processes that bear a mark in MARK, by their ids."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode()
            except OSError:
                continue  # ended meanwhile, or somebody else's
    return found


def listening(processes: Iterable[int]) -> set[str]:
    """Return the addresses on which processes take connections, by /proc/net/tcp and tcp6.

    Source: the kernel's documentation, proc_net_tcp: the second field is address and port, the
    fourth the state, of which 0A is LISTEN, the tenth the inode.
    """
    sockets = {
        inode
        for number in processes
        for link in _links(Path(f"/proc/{number}/fd"))
        if (inode := link.removeprefix("socket:[").removesuffix("]")) != link
    }
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:
                found.add(_address(words[1].partition(":")[0]))
    return found


def _links(folder: Path) -> list[str]:
    links = []
    with contextlib.suppress(OSError):  # ended meanwhile
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                links.append(str(entry.readlink()))
    return links


def _address(digits: str) -> str:
    """Return an address that is written as words of 32 bits in this machine's order of bytes."""
    words = [int(digits[place : place + 8], 16) for place in range(0, len(digits), 8)]
    return str(ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words)))
