"""Write the run folder and show the outcome in Prefect's UI."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.artifacts import (
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from mlubench.evaluate import results
from mlubench.evaluate.results import Evaluation, Outcome
from mlubench.evaluate.table import accuracy_cells, accuracy_markdown, summary_lines
from mlubench.report.page import write_page
from tasks.pages import link_page


@task(task_run_name="judge", cache_policy=NO_CACHE)
def write_run(evaluation: Evaluation, runs: Path) -> Outcome:
    """Merge the shards, judge every precision, write the run folder."""
    return results.write_run(evaluation, runs, write_page)


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
    link_page(written.folder, "report", "plot", "Accuracy per precision")


def _summary(written: Outcome) -> str:
    lines = "\n".join(f"- {line}" for line in [*summary_lines(written.record), *written.notes()])
    return f"{lines}\n\n{accuracy_markdown(written.rows)}"
