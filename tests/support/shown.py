"""What the evaluate flow gives Prefect's UI to show, without Prefect."""

from __future__ import annotations

from unittest import mock

from mlubench.evaluate.results import Outcome


def shown(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Return descriptions and contents of the artifacts of an evaluation, by their keys.

    That they get there is a matter of ``tests/flows/test_evaluate_artifacts.py``.
    """
    from tasks import evaluation as task

    with (
        mock.patch.object(task, "create_table_artifact") as table,
        mock.patch.object(task, "create_markdown_artifact") as markdown,
        mock.patch.object(task, "link_page"),
    ):
        task.publish.fn(outcome)
    given = [call.kwargs for made in (table, markdown) for call in made.call_args_list]
    return {
        one["key"]: (one["description"], str(one.get("table", one.get("markdown"))))
        for one in given
    }
