"""Keeps account of what calls answered and whether anybody looked.

Every Status that a call returns is an open record until its ``ok()`` is called. A call of the
SDK finds a violation where its own thread has an open record, or where the Status of any
thread's open record is gone: nobody can look at it any more. What is open when the interpreter
ends, and every violation that was raised before, whoever caught it, makes the process's exit
status 86. The violations are written to the file ``misuse`` of the state folder, too, so that
a test sees those of processes that it did not start itself.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from pathlib import Path

#: The exit status of a process that misused the SDK.
EXIT_STATUS = 86
MISUSE_FILE = "misuse"


class SimulatedSdkMisuse(RuntimeError):  # noqa: N818  # it is no error of the SDK but of its user
    """The SDK was used in a way that the real one may take silently, with a wrong outcome."""


class SimulatedSdkLimit(RuntimeError):  # noqa: N818
    """The real SDK has it, the simulated one has not; nothing was misused."""


class _Record:
    def __init__(self, status, call, returns, failed):
        self.call = call
        self.returns = returns
        self.failed = failed
        self.thread = threading.get_ident()
        self.status = weakref.ref(status)

    def __str__(self):
        wrong = f" and it failed ({self.failed})" if self.failed else ""
        return f"the Status of {self.call} was not examined with ok(){wrong}"


class Ledger:
    """The open records and the violations of this process."""

    def __init__(self):
        self._lock = threading.RLock()
        self._open = []
        self._misuses = []
        self.folder_of = lambda: None  # gives the folder where violations are written, too

    def issue(self, status, call, returns):
        """Open the record of a Status that a call is about to return."""
        failed = None if status._code is None else status._message
        status._record = _Record(status, call, returns, failed)
        with self._lock:
            self._open.append(status._record)

    def settle(self, record):
        """Close a record: somebody looked."""
        with self._lock:
            if record in self._open:
                self._open.remove(record)

    def check(self, call):
        """Raise where an answer that came before this call was not examined."""
        me = threading.get_ident()
        with self._lock:
            found = [one for one in self._open if one.thread == me or one.status() is None]
            for record in found:
                self._open.remove(record)
        if found:
            raise misuse(
                call,
                "; ".join(map(str, found)) + ", and now this call is made",
                "go on after the failure",
            )

    def note(self, text):
        """Remember a violation beyond the exception that tells of it."""
        with self._lock:
            self._misuses.append(text)
            folder = self.folder_of()
            if folder is not None:
                with (Path(folder) / MISUSE_FILE).open("a", encoding="utf-8") as stream:
                    stream.write(text.replace("\n", " ") + "\n")

    def forget(self):
        """Return the violations so far, the open records among them, and start anew."""
        with self._lock:
            texts = [*self._misuses, *map(str, self._open)]
            del self._misuses[:], self._open[:]
        return texts

    def close(self):
        """End the process with :data:`EXIT_STATUS` where there is a violation."""
        for record in list(self._open):
            self.note(f"{record}, and the process ends")
        if self._misuses:
            sys.stdout.flush()
            sys.stderr.write("".join(f"SIMULATED SDK MISUSED: {one}\n" for one in self._misuses))
            sys.stderr.flush()
            os._exit(EXIT_STATUS)


LEDGER = Ledger()
atexit.register(LEDGER.close)


def misuse(call, what, real):
    """Return the exception for a violation, which is noted.

    Args:
        call: the SDK's call.
        what: what is wrong with it.
        real: what the real SDK may do: completes "The real SDK may".
    """
    text = f"{call}: {what}. The real SDK may {real}."
    LEDGER.note(text)
    return SimulatedSdkMisuse(text)
