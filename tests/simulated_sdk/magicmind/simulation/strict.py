"""How every call is wrapped: account, faults, use by one thread at a time, fields and types."""

from __future__ import annotations

import functools
import threading

from magicmind.simulation import faults
from magicmind.simulation.ledger import LEDGER, misuse
from magicmind.simulation.status import Status, failure

#: Every call at which faults may be injected, and what it answers with.
CALLS = {}

_TYPE_ERROR = "raise a TypeError, or take it for something else"


def sdk_call(name, returns):
    """Make a method a call of the SDK.

    Args:
        name: ``Class.method``.
        returns: ``status``; ``lenient`` (a Status that need not be looked at when it is good,
            where samples do not show that there is one); ``list`` (or a Status); ``object`` (or
            None); ``flag`` (true or false); ``value``, which cannot say that it failed.
    """
    CALLS[name] = returns

    def wrap(function):
        @functools.wraps(function)
        def call(self, *args, **kwargs):
            LEDGER.check(name)
            with _alone(self, name):
                how, failed = faults.strike(name, faults.card_of(self))
                if failed is not None:
                    answer = _failed(returns, failed)
                elif how == "wrong_shape":
                    answer = function(self, *args, _wrong_shape=True, **kwargs)
                else:
                    answer = function(self, *args, **kwargs)
                    if how == "short_list":
                        # enqueue fills the list that it is given
                        del (answer if returns == "list" else args[1])[-1:]
            if type(answer) is Status and not (returns == "lenient" and answer._code is None):
                LEDGER.issue(answer, name, returns)
            return answer

        return call

    return wrap


def _failed(returns, text):
    if returns == "flag":
        return False
    return None if returns == "object" else failure(text)


class _alone:  # noqa: N801  # reads as a statement
    """One thread at a time uses an object that carries ``_busy``."""

    def __init__(self, owner, name):
        self._lock = getattr(owner, "_busy", None)
        self._name = name

    def __enter__(self):
        if self._lock is not None and not self._lock.acquire(blocking=False):
            raise misuse(
                self._name,
                "another thread is inside a call of the same object",
                "corrupt its state: nothing says that its objects may be shared by threads",
            )

    def __exit__(self, *_):
        if self._lock is not None:
            self._lock.release()


class Fields:
    """An object whose public fields are those of ``_fields``: name -> type, or None for any."""

    _fields = {}

    def __setattr__(self, name, value):
        if not name.startswith("_"):
            owner = type(self).__name__
            if name not in self._fields:
                raise misuse(
                    f"{owner}.{name}",
                    "there is no such field; it has " + (", ".join(self._fields) or "none"),
                    "keep it and ignore it",
                )
            kind = self._fields[name]
            if kind is not None:
                need(value, kind, owner, name)
        object.__setattr__(self, name, value)


def need(value, kind, call, argument):
    """Return a value of the right type, or raise; booleans are no integers.

    None is told as what it is: the answer of a factory that failed and was not examined.
    """
    wanted = kind if isinstance(kind, tuple) else (kind,)
    if type(value) is not Status or Status in wanted:
        misplaced = type(value) is bool and bool not in wanted
        if isinstance(value, wanted) and not misplaced:
            return value
    names = " or ".join(one.__name__ for one in wanted)
    if value is None:
        raise misuse(
            call,
            f"{argument} is None where a {names} belongs: what returned it failed, unexamined",
            "crash",
        )
    if type(value) is Status:
        raise misuse(
            call,
            f"{argument} is a Status where a {names} belongs: what returned it failed, unexamined",
            _TYPE_ERROR,
        )
    raise misuse(
        call, f"{argument} is a {type(value).__name__}, {value!r:.80}, not a {names}", _TYPE_ERROR
    )


def lock():
    """Return what an object that one thread at a time may use carries as ``_busy``."""
    return threading.Lock()
