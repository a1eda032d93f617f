"""Write the run folder and show the outcome in Prefect's UI."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from mlubench.pipeline import outcome
from mlubench.pipeline.outcome import Evaluation, Outcome
from mlubench.reports.console import accuracy_cells, accuracy_markdown, summary_lines
from tasks.pages import page_address, served_address


@task(task_run_name="judge", cache_policy=NO_CACHE)
def write_run(evaluation: Evaluation, runs: Path) -> Outcome:
    """Merge the shards, judge every precision, write the run folder."""
    return outcome.write_run(evaluation, runs)


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish(written: Outcome) -> None:
    """Show the table, a summary, the main picture and a link to the page in Prefect's UI."""
    create_table_artifact(
        key="accuracy",
        table=accuracy_cells(written.rows),
        description=f"Accuracy per precision, run {written.record.run_id}",
    )
    create_markdown_artifact(
        key="summary",
        markdown=_summary(written),
        description=f"How run {written.record.run_id} ended",
    )
    create_link_artifact(
        key="report",
        link=page_address(written.folder / "report.html"),
        link_text=f"report of {written.record.run_id}",
        description=f"Page of run {written.record.run_id}",
    )
    # A browser shows no picture of a file on a server's page.
    if (picture := served_address(written.folder / "plot.png")) is not None:
        create_image_artifact(
            key="plot",
            image_url=picture,
            description=f"Main picture of run {written.record.run_id}",
        )


def _summary(written: Outcome) -> str:
    lines = "\n".join(f"- {line}" for line in [*summary_lines(written.record), *written.notes()])
    return f"{lines}\n\n{accuracy_markdown(written.rows)}"
