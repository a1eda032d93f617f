"""``make server`` killed, or a part of it, while a run goes on: all ends, and starts again."""

from __future__ import annotations

import json
import os
import signal
import time

from flows.service.deploy import POOL
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.evaluating import ORPHAN_SECONDS
from tests.chaos.kills import Undisturbed
from tests.support.processes import alive, becomes
from tests.support.service import Service

#: How the command lines of the parts show them.
_PARTS = {
    "service": "flows.service",
    "server": "server start",
    "worker": "worker start",
    "flow": "prefect.engine",
}
_RUN = {"precision": ["force_float32"], "shards": 75}
#: A run of the deployment that is over by then neither hangs nor waits for a dead one.
_RUN_SECONDS = 180


def campaign(chance: Chance, _: Undisturbed) -> Counts:
    """Kill part after part until the time is up, one at least."""
    counts = Counts()
    service = Service(chance.folder, chance.folder / "out")
    parts = [*_PARTS, "all"]
    chance.lot("service").shuffle(parts)
    for number, part in enumerate(parts):
        if number and chance.over:
            break
        with counts.trial(f"{part} killed"):
            kill_part(service, part, chance.lot("moment", part).uniform(0, 6))
            counts.count("kills")
            counts.count(f"of {part}")
    with counts.trial("after all"), service.running(chance.folder):
        _run_completes(service)
    must(becomes(lambda: not _processes(service)), "the service leaves processes")
    return counts


def kill_part(service: Service, part: str, later: float) -> None:
    """Start the service and a run, kill a part of it, and see that all that needs it ends."""
    with service.running(service.home.parent):
        # A run that was lost with an earlier service must not keep this one waiting.
        _run_completes(service)
        given = json.dumps({**_RUN, "out": str(service.artifacts)})
        begun = service.prefect(
            "deployment", "run", "evaluate/evaluate", "-p", f"parameters={given}"
        )
        must(begun.returncode == 0, begun.stderr)
        must(becomes(lambda: bool(_processes(service, "flow"))), service.log())
        time.sleep(later)
        victims = _processes(service, "" if part == "all" else part)
        for number in victims:
            os.kill(number, signal.SIGKILL)
        if part == "flow":
            must(becomes(lambda: not _processes(service, "flow")), "the flow is there still")
            return
        _check_gone(service)


def _check_gone(service: Service) -> None:
    """Check that the run ends with the service, which itself ends where a part of it was killed."""
    assert service.process is not None
    service.process.wait(_RUN_SECONDS)
    begin = time.monotonic()
    while left := _processes(service):
        waited = time.monotonic() - begin
        must(waited <= ORPHAN_SECONDS, f"orphans: {[service.processes().get(n) for n in left]}")
        time.sleep(0.05)


def _run_completes(service: Service) -> None:
    given = json.dumps({**_RUN, "out": str(service.artifacts)})
    words = ("deployment", "run", "evaluate/evaluate", "-p", f"parameters={given}")
    done = service.prefect(*words, "--watch", "--watch-timeout", str(_RUN_SECONDS))
    must(done.returncode == 0, f"a run of {POOL} does not complete: {done.stdout} {done.stderr}")


def _processes(service: Service, part: str = "") -> list[int]:
    """Return the processes of a part, or all that it began; commands of this module are none."""
    return [
        number
        for number, command in service.processes().items()
        if alive(number) and _PARTS.get(part, "") in command and "deployment run" not in command
    ]
