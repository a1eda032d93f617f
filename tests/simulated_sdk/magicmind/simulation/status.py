"""What the SDK's calls answer with: a Status, good or bad."""

from __future__ import annotations

import enum

from magicmind.simulation.ledger import LEDGER, misuse


class Code(enum.Enum):
    """``OUT_OF_RANGE`` is the only documented one; the other is the simulator's own."""

    OUT_OF_RANGE = "OUT_OF_RANGE"
    SIMULATED_FAILURE = "SIMULATED_FAILURE"


class Status:
    """The outcome of a call. Only :meth:`ok` says whether it is good.

    It has no truth value of its own: ``if status`` is always true, as it may be in the real SDK.
    A Status that a call returned must be asked :meth:`ok` before the next call of the same
    thread; see :mod:`magicmind.simulation.ledger`.
    """

    def __init__(self, code=None, message=""):
        if code is not None and not isinstance(code, Code):
            raise misuse("Status", f"the code is {code!r}, not a mm.Code", "raise a TypeError")
        self._code = code
        self._message = message
        self._record = None  # of the ledger, where a call returned it

    @staticmethod
    def OK():  # noqa: N802  # the SDK's name
        """Return a good one."""
        return Status()

    @property
    def __class__(self):
        """Tell the ledger that ``isinstance(answer, list)`` was asked: it looks this up.

        For a Status in place of a list that is the documented way to examine it.
        """
        self._examined(wanted="list")
        return Status

    def ok(self):
        """Return whether the call succeeded; this is what counts as having examined it."""
        if self._record is not None:
            LEDGER.settle(self._record)
        return self._code is None

    def error_message(self):
        """Return what went wrong."""
        self._examined(wanted="list")
        return self._message

    def __str__(self):
        self._examined(wanted="list")
        return "OK" if self._code is None else f"{self._code.value}: {self._message}"

    def _examined(self, wanted):
        record = self._record
        if record is not None and record.returns == wanted:
            LEDGER.settle(record)

    def _as_list(self, *_):
        call = self._record.call if self._record is not None else "Status"
        raise misuse(
            call,
            "it answered with a Status, which was used as a list without having been examined",
            "raise a TypeError far from the cause",
        )

    __iter__ = __getitem__ = _as_list


def failure(message):
    """Return a bad Status of the simulator's own."""
    return Status(Code.SIMULATED_FAILURE, f"simulated: {message}")
