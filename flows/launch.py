"""Flows started from the command line: what they report to, and how they end.

Prefect reads its environment when it is imported, so it is imported in here, after that is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flows.service.server import OwnServer, answers, usual_url
from mlubench.devices.engine_host import engine_host, require_engine
from mlubench.errors import ConfigError, MlubenchError
from mlubench.evaluate.cluster.preflight import require_dask
from mlubench.evaluate.options import EvaluateParameters
from mlubench.object_store.option import open_depot
from mlubench.store import locked, make_folder, write_atomic

if TYPE_CHECKING:
    from mlubench.evaluate.images import ChosenImages
    from mlubench.evaluate.results import Outcome
    from mlubench.nightly.options import NightlyParameters
    from mlubench.nightly.results import NightlyOutcome
    from mlubench.speed.benchmark.options import BenchParameters
    from mlubench.speed.benchmark.results import BenchOutcome

#: More than a database's page and journal.
_PROBE_BYTES = 1 << 18


def evaluate(parameters: EvaluateParameters) -> Outcome:
    """Run the evaluate flow and return its outcome.

    Raises:
        MlubenchError: the flow could not finish.
    """
    require_engine(engine_host(parameters.engine, parameters.conf))
    if parameters.scheduler is not None:
        require_dask(parameters.scheduler)
    _check_artifacts(parameters.artifacts)
    chosen = _checked_images(parameters)
    prepare_prefect(parameters.out)
    from flows.ending import outcome_of
    from flows.evaluate import evaluate as flow
    from flows.evaluate import images_at_hand

    with prefect_told():
        with images_at_hand(parameters, chosen):
            state = flow(parameters, return_state=True)
        outcome = cast("Outcome | BaseException", outcome_of(state))
        if isinstance(outcome, BaseException):
            raise outcome
    return outcome


def benchmark(parameters: BenchParameters) -> BenchOutcome:
    """Run the benchmark flow and return its outcome.

    Raises:
        MlubenchError: the flow could not finish.
    """
    require_engine(engine_host(parameters.engine, parameters.conf))
    _check_artifacts(parameters.artifacts)
    prepare_prefect(parameters.out)
    from flows.benchmark import benchmark as flow
    from flows.ending import outcome_of

    with prefect_told():
        state = flow(parameters, return_state=True)
        outcome = cast("BenchOutcome | BaseException", outcome_of(state))
        if isinstance(outcome, BaseException):
            raise outcome
    return outcome


def nightly(parameters: NightlyParameters) -> NightlyOutcome:
    """Run the nightly flow and return how its runs ended.

    Raises:
        MlubenchError: the suite is wrong, or the summary cannot be written.
    """
    from mlubench.nightly.suite import read_suite

    read_suite(parameters)  # what is wrong with it is told before Prefect starts
    _check_artifacts(parameters.artifacts)
    prepare_prefect(parameters.out)
    from prefect import tags

    from flows.ending import outcome_of
    from flows.nightly import nightly as flow

    with prefect_told(), tags("nightly"):
        state = flow(parameters, return_state=True)
        outcome = cast("NightlyOutcome | BaseException", outcome_of(state))
        if isinstance(outcome, BaseException):
            raise outcome
    return outcome


@contextmanager
def prefect_told() -> Iterator[None]:
    """Say what it means where Prefect's server fails, or is killed, while a flow runs.

    Raises:
        StoreError: the disk of its database cannot be written.
        MlubenchError: it failed otherwise.
    """
    import httpx

    try:
        yield
    except httpx.HTTPError as error:
        _check_home()
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise MlubenchError(
            f"Prefect's server failed or ended: {said}",
            where=os.environ.get("PREFECT_API_URL", ""),
            fix="run the same command again: what is done is kept",
        ) from error


def _check_home() -> None:
    """Write what Prefect's database would, that a disk's fault is told as one.

    Raises:
        StoreError: it cannot be written.
    """
    home = os.environ.get("PREFECT_HOME")
    if home is not None:
        probe = Path(home) / "probe"
        write_atomic(probe, bytes(_PROBE_BYTES))
        probe.unlink()


def _checked_images(parameters: EvaluateParameters) -> ChosenImages:
    """Tell what is wrong with names, files and lists at once, not seconds later from the flow.

    Returns:
        The images that are chosen, so that the flow need not look at them again.
    """
    from mlubench.evaluate.images import choose_images
    from mlubench.networks.choose import choose_network
    from mlubench.networks.compile import build_spec
    from mlubench.runs.folders import Run

    network = choose_network(parameters)
    for precision in parameters.precision:
        build_spec(network, parameters, precision)
    return choose_images(parameters, network.order, Run(parameters.out).data)


def _check_artifacts(address: str | None) -> None:
    """Tell of a store that cannot be used before Prefect starts; what is odd there, the flow tells.

    Raises:
        ConfigError: it cannot be used.
    """
    open_depot(address, lambda _: None)


def prepare_prefect(artifacts: Path) -> None:
    """Set Prefect's environment for this process, with a server that answers.

    A server that runs (``make server``, or the one that ``PREFECT_API_URL`` names) shows the
    run while it lasts. Without one a server is started for the run alone; its database lies
    with the artifacts, so that a server started later shows the run too.

    Args:
        artifacts: the folder of runs and caches.

    Raises:
        ConfigError: no server answers at ``PREFECT_API_URL``.
        StoreError: that folder cannot be made.
        MlubenchError: the server does not start.
    """
    home = (artifacts / "prefect").resolve()
    make_folder(home)
    os.environ.setdefault("PREFECT_HOME", str(home))
    # The terminal shows progress and the outcome; Prefect's own lines are in its UI.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    usual = usual_url()
    # Proxies are for the world outside.
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
    if given := os.environ.get("PREFECT_API_URL"):
        if not answers(given):
            raise ConfigError(
                "no Prefect server answers there",
                where=f"PREFECT_API_URL={given}",
                fix="start it (make server), or unset the variable to run without one",
            )
        return
    if answers(usual):
        os.environ["PREFECT_API_URL"] = usual
        return
    home = Path(os.environ["PREFECT_HOME"])
    # Two servers at once would make or change one database's tables.
    with locked(home / ".starting.lock"):
        server = OwnServer()
        # Where it was killed it does not come back; each request would try for a minute.
        os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")
        os.environ["PREFECT_API_URL"] = server.url
        import prefect.flows  # noqa: F401  # seconds of imports while the server starts

        try:
            server.wait()
        except MlubenchError:
            _check_home()
            raise
