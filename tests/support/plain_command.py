"""``mlubench eval`` in the process of the tests and without Prefect.

Its start, Prefect's and a server's take longer than an evaluation of few images does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.support.plain_flow import plain_flows


@contextmanager
def plain_evaluations() -> Iterator[None]:
    """Let ``mlubench.cli.main(["eval", ...])`` run the flow's own body, and start no server."""
    import flows.evaluate
    import flows.launch

    flow = flows.evaluate.evaluate

    def plain(parameters: Any, *, return_state: bool) -> Any:
        assert return_state
        return flow.fn(parameters)

    with (
        plain_flows(),
        mock.patch.object(flows.launch, "prepare_prefect"),
        mock.patch.object(flows.evaluate, "evaluate", plain),
    ):
        yield
