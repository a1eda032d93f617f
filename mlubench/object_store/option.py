"""The option ``--artifacts``: where hosts share what they make, and opening it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from mlubench.object_store.address import PATTERN, parse_address

if TYPE_CHECKING:
    from mlubench.object_store.store import Depot

ARTIFACTS_HELP = (
    "store that hosts share, s3://bucket/prefix or file:///folder: networks, decoded images, runs "
    "and history are taken from there and put there, and OUT is a copy of what this host uses; "
    "credentials are taken from the environment, never from here"
)
#: The address of a store. Prefect's server refuses one with credentials by the pattern, before
#: it keeps the parameters.
ArtifactsAddress = Annotated[
    str,
    AfterValidator(lambda text: parse_address(text).text),
    Field(json_schema_extra={"pattern": PATTERN}),
]


def open_depot(address: str | None, remark: Callable[[str], None]) -> Depot | None:
    """Return the store at an address once it is known to be there and to take what is given.

    Args:
        address: of ``--artifacts``; None where nothing is shared.
        remark: told what is damaged there, a line each.

    Raises:
        ConfigError: it cannot be used.
    """
    if address is None:
        return None
    # AWS's library, which few runs need.
    from mlubench.object_store.store import Depot

    depot = Depot(parse_address(address), remark)
    depot.check()
    return depot
