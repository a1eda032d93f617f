"""Processes that end with the one that needs them, however that ended.

``python -m flows.service.lifeline WORD ...`` runs Prefect's command line so: it ends when its
standard input closes, which the kernel sees to.
"""

from __future__ import annotations

import functools
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable

#: How long a process gets to finish what it has in hand, and a flow, which learns of it last, when
#: the service's worker has had its time. None may be there after five seconds.
_LAST_SECONDS, _LAST_SECONDS_OF_FLOW = 2.0, 1.0
_LOOK_SECONDS = 0.5
#: Set by Prefect in the processes in which its workers run flows.
_RUN_OF_A_WORKER = "PREFECT__FLOW_RUN_ID"


def end_with_stdin() -> None:
    """See to it that this process ends when its standard input closes."""
    _end_after(_wait_for_stdins_end, _LAST_SECONDS)


def _wait_for_stdins_end() -> None:
    # Python's own buffer would be locked by the thread that waits, and Python aborts at its end.
    while os.read(sys.stdin.fileno(), 1 << 16):
        pass


@functools.cache  # a flow within a flow asks again
def end_with_worker() -> None:
    """See to it that a flow that a worker of Prefect's runs ends when the worker is dead.

    Nobody would watch it, stop it or say how it ended. A flow of a command is nobody's but the
    user's.
    """
    if _RUN_OF_A_WORKER in os.environ:
        worker = os.getppid()

        def wait() -> None:
            while os.getppid() == worker:
                time.sleep(_LOOK_SECONDS)

        _end_after(wait, _LAST_SECONDS_OF_FLOW)


def _end_after(wait: Callable[[], object], last: float) -> None:
    def end() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(last)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


def main() -> None:
    """Run a command of Prefect's until standard input closes."""
    end_with_stdin()
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
