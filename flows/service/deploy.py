"""Tell Prefect's server of the deployments: ``python -m flows.service.deploy``, ``make deploy``.

Work pool, deployments with their schedules, alert. Done twice it changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from flows.service.server import answers, usual_url
from mlubench.errors import ConfigError, MlubenchError

ROOT = Path(__file__).resolve().parents[2]
#: As in prefect.yaml.
POOL = "mlubench"


def deploy() -> list[str]:
    """Make the work pool, the deployments and the alert; return what there is now, in lines.

    ``PREFECT_API_URL`` names the server.

    Raises:
        ConfigError: the alert's address is wrong.
        MlubenchError: Prefect refuses a deployment.
    """
    from prefect.client.orchestration import get_client

    from flows.service.alerts import deploy_alert

    with get_client(sync_client=True) as client:
        _make_pool()
        _deploy_all()
        lines = [deploy_alert(client)]
        for deployment in client.read_deployments():
            if deployment.work_pool_name == POOL:
                times = [one.schedule for one in deployment.schedules if one.active]
                when = ", ".join(
                    f"at {getattr(time, 'cron', time)} {getattr(time, 'timezone', '')}"
                    for time in times
                )
                lines.append(f"deployment: {deployment.name} {when}".rstrip())
    return sorted(lines)


def _make_pool() -> None:
    """Make the work pool, a run at a time: what is measured must not be disturbed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=POOL,
        description="Evaluations, benchmarks and nightlies of this checkout, one at a time.",
        type=ProcessWorker.type,
        base_job_template=ProcessWorker.get_default_base_job_template(),
        concurrency_limit=1,
    )
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)


def _deploy_all() -> None:
    """Run Prefect's own command, which reads prefect.yaml and notes this folder as the runs'."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise MlubenchError(
            f"Prefect refuses it: {said[-1] if said else 'without a word'}",
            where="prefect.yaml",
            fix="see what it says: .venv/bin/prefect --no-prompt deploy --all",
        )


def main() -> int:
    """Deploy to the server that runs, and say what there is now."""
    try:
        url = os.environ.setdefault("PREFECT_API_URL", usual_url())
        if not answers(url):
            raise ConfigError("no Prefect server answers there", where=url, fix="make server")
        for line in deploy():
            print(line)  # noqa: T201  # that is what it is for
    except MlubenchError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
