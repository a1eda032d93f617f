"""Cards and their queues: System, Device, Queue."""

from __future__ import annotations

import atexit
import queue as queue_module
import threading
import weakref

from magicmind.simulation import faults
from magicmind.simulation.ledger import misuse
from magicmind.simulation.status import Status, failure
from magicmind.simulation.strict import Fields, lock, sdk_call

_STOP_SECONDS = 10


class System:
    """The driver: ``with mm.System() as system``, or initialize and destory."""

    def __init__(self):
        self._state = "new"

    def __enter__(self):
        if not self.initialize().ok():
            self._state = "failed"
        return self

    def __exit__(self, *_):
        self._state = "closed"

    @sdk_call("System.initialize", returns="status")
    def initialize(self):
        """Begin."""
        if self._state != "new":
            raise misuse("System.initialize", f"the System is {self._state}", "leak it")
        self._state = "open"
        faults.world().system_started = True
        return Status()

    @sdk_call("System.destory", returns="lenient")
    def destory(self):
        """End; the name is the SDK's."""
        if self._state != "open":
            raise misuse("System.destory", f"the System is {self._state}", "crash")
        self._state = "closed"
        return Status()

    @sdk_call("System.device_count", returns="value")
    def device_count(self):
        """Return the number of cards that MLU_VISIBLE_DEVICES leaves."""
        if self._state == "failed":
            return 0
        if self._state != "open":
            raise misuse("System.device_count", f"the System is {self._state}", "answer 0")
        return len(faults.world().settings.visible)


class Device(Fields):
    """A card, by its ``id`` among the visible ones."""

    _fields = {"id": int}

    def __init__(self):
        self._active = False
        self._busy = lock()

    def __setattr__(self, name, value):
        if name == "id" and getattr(self, "_active", False):
            raise misuse("Device.id", "it was activated already", "stay on the card that it was")
        super().__setattr__(name, value)

    @property
    def _card(self):
        """The card's number among all cards, or None."""
        visible = faults.world().settings.visible
        number = getattr(self, "id", -1)
        return visible[number] if 0 <= number < len(visible) else None

    @sdk_call("Device.active", returns="status")
    def active(self):
        """Bind the calling thread to the card."""
        if not hasattr(self, "id"):
            raise misuse("Device.active", "id is not set", "take device 0")
        if not faults.world().system_started:
            raise misuse("Device.active", "no System was initialised", "fail")
        if self._card is None:
            return failure(f"there is no device {self.id}")
        faults.world().thread.card = self._card
        self._active = True
        return Status()

    @sdk_call("Device.create_queue", returns="object")
    def create_queue(self):
        """Return a Queue of the card, or None."""
        expect_active(self, "Device.create_queue")
        return Queue(self._card)


def expect_active(owner, call):
    """Raise where the calling thread has not activated an object's card."""
    if faults.active_card() != owner._card or owner._card is None:
        raise misuse(
            call,
            "the calling thread has not activated the card with Device.active()",
            "work on device 0, or crash",
        )


class Queue:
    """Carries out its tasks in order, on a thread of its own.

    A Device makes it.
    """

    def __init__(self, card):
        self._card = card
        self._busy = lock()
        self._tasks = []  # since the last sync
        self._waiting = queue_module.Queue()
        thread = threading.Thread(
            target=_work, args=(self._waiting,), name=f"simulated card {card}", daemon=True
        )
        thread.start()
        _THREADS[:] = [(own, one) for own, one in _THREADS if one.is_alive()]
        _THREADS.append((self._waiting, thread))
        weakref.finalize(self, self._waiting.put, None)

    @sdk_call("Queue.sync", returns="status")
    def sync(self):
        """Wait for all tasks."""
        expect_active(self, "Queue.sync")
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.done.wait()
        for task in tasks:
            task.settle()
        errors = [str(task.error) for task in tasks if task.error is not None]
        return failure(errors[0]) if errors else Status()

    def _put(self, task):
        self._tasks.append(task)
        self._waiting.put(task)


_THREADS = []


def _work(waiting):
    while True:
        task = waiting.get()
        if task is None:
            return
        task.run()
        del task  # what it holds may go while the queue is idle


def _stop():
    """Let running tasks end, so that no thread is inside ONNX Runtime when it is unloaded."""
    for waiting, _ in _THREADS:
        waiting.put(None)
    for _, thread in _THREADS:
        thread.join(_STOP_SECONDS)


atexit.register(_stop)
