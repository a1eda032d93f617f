"""Failures on demand: which call, on which card, after how many calls, how often, how.

A fault is ``{"call": "Context.enqueue", "card": 2, "after": 5, "times": 1, "how": "status"}``:
of the calls of that name for that card (its number among all cards; null or left out is any) the
first 5 are well and the next one fails. A call that is bound to no card counts for the card that
the thread has activated, if any. ``how`` is one of :data:`HOWS`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time

from magicmind.simulation import settings as settings_module
from magicmind.simulation.ledger import LEDGER
from magicmind.simulation.settings import SettingsError

#: ``status``: a bad Status; None of a factory. ``none``: None of a factory. ``hang``: for ever.
#: ``abort``, ``segfault``: the process ends by that signal. ``lost``: the card fails every call
#: from now on, in every process with the same state. ``wrong_shape``: what comes is too short.
#: ``short_list``: a list of tensors comes without its last one.
HOWS = ("status", "none", "hang", "abort", "segfault", "lost", "wrong_shape", "short_list")
#: The calls whose outcome may have a wrong shape.
SHAPED = ("Context.create_outputs", "Context.enqueue", "Tensor.asnumpy")
#: The calls that give a list of tensors.
LISTS = ("Context.create_inputs", "Context.create_outputs", "Context.enqueue")

_KEYS = {"call", "card", "after", "times", "how"}


class World:
    """The simulated cards as this process sees them."""

    def __init__(self):
        self.settings = settings_module.read_settings()
        self.thread = threading.local()  # .card: that this thread has activated
        self.system_started = False
        self._lock = threading.Lock()
        self._counts = {}
        self._lost = set()
        self._used = {}

    def count(self, number):
        """Return how often a fault's call was made before, here or elsewhere, and count this."""
        if self.settings.state is None:
            with self._lock:
                self._counts[number] = self._counts.get(number, 0) + 1
                return self._counts[number] - 1
        with (self.settings.state / f"fault-{number}").open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            before = os.fstat(stream.fileno()).st_size
            stream.write(b"x")
        return before

    def lose(self, card):
        """Let a card fail from now on."""
        self._lost.add(card)
        if self.settings.state is not None:
            (self.settings.state / f"lost-{card}").touch()

    def lost(self, card):
        """Return whether a card fails every call."""
        if card in self._lost:
            return True
        state = self.settings.state
        return state is not None and (state / f"lost-{card}").exists()

    def take_memory(self, card, size):
        """Return whether a card has so many bytes left; where it has, they are taken."""
        with self._lock:
            used = self._used.get(card, 0)
            if used + size > self.settings.memory_bytes:
                return False
            self._used[card] = used + size
            return True

    def give_memory(self, card, size):
        """Return bytes that were taken."""
        with self._lock:
            self._used[card] -= size


_WORLD = None


def world():
    """Return the simulated cards; the settings are read when it is asked for first."""
    global _WORLD
    if _WORLD is None:
        _WORLD = World()
    return _WORLD


LEDGER.folder_of = lambda: world().settings.state


def reset():
    """Read the settings again when they are needed; every object of before is void."""
    global _WORLD
    _WORLD = None


def active_card():
    """Return the card that this thread has activated, or None."""
    return getattr(world().thread, "card", None)


def card_of(owner):
    """Return the card that an object is bound to, else the thread's."""
    card = getattr(owner, "_card", None)
    return active_card() if card is None else card


def strike(call, card):
    """Carry out the fault that is due at a call.

    Returns:
        ``how`` the call is spoiled, or None, and what is wrong where it has failed, or None.
    """
    how = _due(call, card)
    if how == "lost" and card is not None:
        world().lose(card)
    if card is not None and _on_card(call) and world().lost(card):
        return how, f"{call}: card {card} is lost"
    if how in ("status", "none", "lost"):
        return how, f"{call}: injected failure"
    if how == "hang":
        while True:
            time.sleep(3600)
    if how in ("abort", "segfault"):
        sys.stderr.write(f"simulated {how} at {call}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGABRT if how == "abort" else signal.SIGSEGV)
        time.sleep(3600)  # a signal may take a moment
    return how, None


def _on_card(call):
    """Return whether a call needs its card to be well."""
    owners = ("Device", "Queue", "Engine", "Context", "Tensor", "Calibrator")
    return call.partition(".")[0] in owners or call == "Model.create_i_engine"


def _due(call, card):
    from magicmind.simulation.strict import CALLS

    for number, fault in enumerate(world().settings.faults):
        _check(fault, CALLS)
        wanted = fault.get("card")
        if fault["call"] == call and (wanted is None or wanted == card):
            before = world().count(number) - fault.get("after", 0)
            if 0 <= before < fault.get("times", 1):
                return fault["how"]
    return None


def _check(fault, calls):
    call, how = fault.get("call"), fault.get("how")
    if set(fault) - _KEYS or call not in calls or how not in HOWS:
        raise SettingsError(f"no such fault: {fault}")
    returns = calls[call]
    if (
        (how == "none" and returns != "object")
        or (how in ("status", "lost") and returns == "value")
        or (how == "wrong_shape" and call not in SHAPED)
        or (how == "short_list" and call not in LISTS)
    ):
        raise SettingsError(f"{call} cannot fail like that: {fault}")
