"""Content-keyed files that hosts share: built once, whichever host asks first."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlubench.object_store.shared_store import SharedStore
from mlubench.store import content_key, entry_damage
from tests.support.depots import Bucket

PARTS = {"network": "a", "precision": "b"}


class Host:
    """A host with a folder of its own."""

    def __init__(self, root: Path, bucket: Bucket, address: str | None = None) -> None:
        self.store = SharedStore(root, bucket.open(address))
        self.built = 0

    def get(self, text: str = "built") -> str:
        def build(folder: Path) -> None:
            self.built += 1
            (folder / "sub").mkdir()
            (folder / "sub" / "network.bin").write_text(text)

        entry = self.store.get("compiled", PARTS, build)
        assert entry_damage(entry, PARTS) is None
        return (entry / "sub" / "network.bin").read_text()


def test_a_second_host_builds_nothing(bucket: Bucket, tmp_path: Path) -> None:
    first, second = (Host(tmp_path / name, bucket) for name in "ab")
    assert first.get() == second.get("another") == "built"
    assert (first.built, second.built) == (1, 0)
    assert second.get() == "built"
    assert bucket.remarks == []


def test_what_was_built_before_is_given_later(bucket: Bucket, tmp_path: Path) -> None:
    dead = f"s3://{bucket.name}/p?endpoint_override=127.0.0.1:9&scheme=http"
    first = Host(tmp_path / "a", bucket, dead)
    assert first.get() == "built"
    assert bucket.server.objects(bucket.name) == {}
    assert len(bucket.remarks) == 1
    again, second = Host(tmp_path / "a", bucket), Host(tmp_path / "b", bucket)
    assert again.get() == second.get() == "built"
    assert (again.built, second.built) == (0, 0)


@pytest.mark.parametrize("ending", ["network.bin", f"{content_key(PARTS)}.json"])
def test_a_flipped_bit_is_repaired(bucket: Bucket, tmp_path: Path, ending: str) -> None:
    Host(tmp_path / "a", bucket).get()
    bucket.flip(ending)
    second, third = (Host(tmp_path / name, bucket) for name in "bc")
    assert second.get() == third.get() == "built"
    assert (second.built, third.built) == (1, 0)
    assert len(bucket.remarks) == 1
    assert not list((tmp_path / "b").rglob(".tmp-*"))


def test_an_entry_of_another_content_is_not_taken(bucket: Bucket, tmp_path: Path) -> None:
    """As where somebody has put another entry's files under this one's key."""
    first = Host(tmp_path / "a", bucket)
    first.get()
    other = Host(tmp_path / "o", bucket)
    entry = other.store.get("compiled", {"x": 1}, lambda folder: (folder / "n").write_text("other"))
    from mlubench.object_store.transfer import sources_below

    bucket.open().publish("compiled", content_key(PARTS), sources_below(entry))
    second = Host(tmp_path / "b", bucket)
    assert second.get("right") == "right"
    assert second.built == 1
