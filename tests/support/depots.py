"""Stores of artifacts for tests: an S3 server of the session's own, a bucket for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlubench.object_store.address import parse_address
from tests.support.s3_server import CHAIN, S3Server, s3_server

if TYPE_CHECKING:
    from mlubench.object_store.store import Depot

_numbers = itertools.count()


@dataclass(frozen=True)
class Bucket:
    """A bucket with a store in it, and what its users were told.

    Attributes:
        server: that it is on.
        name: the bucket's.
        remarks: every remark of the stores that were opened.
    """

    server: S3Server
    name: str
    remarks: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"s3://{self.name}/team/mlubench"

    def open(self, address: str | None = None) -> Depot:
        from mlubench.object_store.store import Depot  # loads AWS's library, which few tests want

        return Depot(parse_address(address or self.address), self.remarks.append)

    def objects(self) -> dict[str, bytes]:
        """Return what lies there, relative to the store."""
        found = self.server.objects(self.name)
        assert all(name.startswith("team/mlubench/") for name in found)
        return {name.removeprefix("team/mlubench/"): data for name, data in found.items()}

    def entries(self, kind: str) -> list[str]:
        """Return the keys of a kind's entries."""
        names = [name for name in self.objects() if name.startswith(f"manifests/{kind}/")]
        return [Path(name).stem for name in names]

    def change(self, ending: str, data: bytes | None) -> str:
        """Write over the one object whose name ends so, or remove it; return its name."""
        (name,) = (one for one in self.objects() if one.endswith(ending))
        place: dict[str, Any] = {"Bucket": self.name, "Key": f"team/mlubench/{name}"}
        client = self.server.client()
        if data is None:
            client.delete_object(**place)
        else:
            client.put_object(**place, Body=data)
        return name

    def flip(self, ending: str) -> str:
        """Change one bit of the one object whose name ends so; return its name."""
        (data,) = (data for name, data in self.objects().items() if name.endswith(ending))
        middle = len(data) // 2
        changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return self.change(ending, changed)


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    """The session's S3 server."""
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of the test's own; the environment has what its user must have in it."""
    for name in CHAIN:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.key.environment(server.url).items():
        monkeypatch.setenv(name, value)
    return Bucket(server, server.make_bucket(f"bucket-{next(_numbers)}"))
