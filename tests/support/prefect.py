"""A Prefect server that a process of tests has for itself, on a database that is migrated already.

Prefect's migrations take ten seconds of processor time on an empty database and a server that
finds them done starts in three: they are applied once a session, to a template that is copied.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mlubench.store import locked
from tests.support.session import session_folder

#: The name that Prefect gives its database in its home.
_DATABASE = "prefect.db"
_MIGRATE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SQLite file with Prefect's tables, empty; all processes of tests share it.

    Copy it with :func:`migrated_home`, and leave it as it is.
    """
    folder = session_folder(tmp_path_factory)
    template = folder / "migrated.db"
    with locked(folder / "migrated.lock"):
        if not template.exists():
            _migrate(folder / "migrating", template)
    return template


def _migrate(home: Path, template: Path) -> None:
    import sqlite3

    environment = {**os.environ, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"}
    for name in ("PREFECT_API_URL", "PREFECT_API_DATABASE_CONNECTION_URL"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", _MIGRATE], env=environment, check=True)
    with closing(sqlite3.connect(home / _DATABASE)) as database:
        # One file, without the journal that a mere copy would leave behind.
        database.execute("VACUUM INTO ?", (str(template),))


def migrated_home(template: Path, home: Path) -> Path:
    """Make a folder a PREFECT_HOME whose database need not be migrated; return it.

    Args:
        template: of the fixture ``prefect_database``.
        home: is made where it does not exist.
    """
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, home / _DATABASE)
    return home


@pytest.fixture(scope="session")
def prefect_server(
    prefect_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run a server that flows in this process report to; give the address of its API.

    Programs report to it too where their ``PREFECT_API_URL`` is this address.
    """
    home = migrated_home(prefect_database, tmp_path_factory.mktemp("prefect"))
    with running_server(home) as url:
        yield url


@contextmanager
def running_server(home: Path) -> Iterator[str]:
    """Run a server with a home of its own, to which this process reports meanwhile.

    Without its heartbeats a flow ends a second sooner.
    """
    # They take seconds to import, and most tests need no Prefect.
    from flows.service.server import OwnServer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("DO_NOT_TRACK", "1")
        server = OwnServer()
    try:
        from prefect.context import _temporary_global_settings_context, get_settings_context
        from prefect.settings import (
            PREFECT_API_URL,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            PREFECT_LOGGING_TO_API_ENABLED,
            temporary_settings,
        )

        server.wait()
        updates = {
            PREFECT_API_URL: server.url,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_ENABLED: False,
        }
        with (
            temporary_settings(updates),
            # Threads that were started earlier read the settings of the process.
            _temporary_global_settings_context(get_settings_context()),
        ):
            yield server.url
            _drain()
    finally:
        server.close()


def _drain() -> None:
    """Send what Prefect's threads still hold, or they complain of a server that is gone."""
    import inspect

    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.utilities.asyncutils import run_coro_as_sync

    async def drain() -> None:
        for drained in (APILogWorker.instance().drain(), EventsWorker.drain_all()):
            if inspect.isawaitable(drained):
                await drained

    run_coro_as_sync(drain())
