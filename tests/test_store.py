"""Content-addressed files: nothing half-written is ever seen, and damage is noticed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench import store
from mlubench.errors import StoreError
from mlubench.store import Store, atomic_folder, content_key, entry_damage, write_atomic

PARTS = {"network": "abc", "batch": 8}
_PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
#: Two levels deep; deeper values take long to draw and have nothing new.
_JSON = (
    _PLAIN | st.lists(_PLAIN, max_size=4) | st.dictionaries(st.text(max_size=5), _PLAIN, max_size=4)
)


@given(st.dictionaries(st.text(max_size=20), _JSON, max_size=6))
def test_a_key_depends_on_the_value_alone(parts: dict[str, Any]) -> None:
    backwards = dict(reversed(parts.items()))
    assert content_key(parts) == content_key(backwards)
    assert content_key(parts) != content_key({**parts, "one more": len(parts)})


def _write_answer(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "answer").write_bytes(b"42")


def test_an_entry_is_built_once(tmp_path: Path) -> None:
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        _write_answer(folder)

    kept = Store(tmp_path)
    first, second = (kept.get("things", PARTS, build) for _ in range(2))
    assert first == second == kept.path("things", PARTS)
    assert (first / "deep" / "answer").read_bytes() == b"42"
    assert len(calls) == 1
    assert entry_damage(first, PARTS) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest", "other key"])
def test_a_damaged_entry_is_built_anew(tmp_path: Path, damage: str) -> None:
    kept = Store(tmp_path)
    entry = kept.get("things", PARTS, _write_answer)
    answer, manifest = entry / "deep" / "answer", entry / store.MANIFEST
    if damage == "flip":
        answer.write_bytes(b"43")
    elif damage == "cut":
        answer.write_bytes(b"4")
    elif damage == "remove":
        answer.unlink()
    elif damage == "manifest":
        manifest.write_bytes(b'{"files"')
    else:
        manifest.write_text(manifest.read_text().replace("abc", "abd"))
    assert entry_damage(entry, PARTS) is not None
    assert kept.get("things", PARTS, _write_answer) == entry
    assert answer.read_bytes() == b"42"
    assert entry_damage(entry, PARTS) is None


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        _write_answer(folder)
        raise ValueError("no")

    kept = Store(tmp_path)
    with pytest.raises(ValueError, match="no"):
        kept.get("things", PARTS, fail)
    assert [path.suffix for path in (tmp_path / "things").iterdir()] == [".lock"]


@pytest.mark.parametrize("what", ["atomic_path", "atomic_folder"])
def test_what_a_dead_writer_left_is_swept_and_what_is_being_written_stays(
    tmp_path: Path, what: str
) -> None:
    code = (
        "import pathlib, sys\nfrom mlubench import store\n"
        "with getattr(store, sys.argv[1])(pathlib.Path(sys.argv[2])) as temporary:\n"
        "    print(temporary, flush=True)\n    sys.stdin.read()"
    )
    target = tmp_path / "deep" / "target"
    with subprocess.Popen(
        [sys.executable, "-c", code, what, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout is not None
        temporary = Path(writer.stdout.readline().decode().strip())
        store.sweep(tmp_path)
        assert temporary.exists()
        writer.kill()
    mine = tmp_path / "deep" / ".tmp-of-mine"
    mine.write_bytes(b"")
    store.sweep(tmp_path)
    assert list(target.parent.iterdir()) == [mine]


def test_a_sweep_between_two_steps_of_a_writer_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store._make_file
    times = []

    def make_and_sweep(path: Path) -> None:
        made(path)
        times.append(path)
        if len(times) == 1:
            store.sweep(tmp_path)

    monkeypatch.setattr(store, "_make_file", make_and_sweep)
    write_atomic(tmp_path / "file", b"whole")
    assert len(times) == 2
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / ("a" * 300), tmp_path / ("a" * 300) / "file"):
        with pytest.raises(StoreError, match="File name too long"):
            write_atomic(path, b"x")


_BUILD_AND_DIE = """
import os, pathlib, sys
from mlubench.store import Store
def build(folder):
    (folder / "answer").write_bytes(b"half")
    os.kill(os.getpid(), 9)
Store(pathlib.Path(sys.argv[1])).get("things", {"network": "abc", "batch": 8}, build)
"""


def test_a_killed_build_leaves_no_entry_and_is_swept_up(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", _BUILD_AND_DIE, str(tmp_path)], check=False)
    assert died.returncode == -9
    kept = Store(tmp_path)
    assert not kept.path("things", PARTS).exists()
    kept.get("things", PARTS, _write_answer)
    assert len(list((tmp_path / "things").iterdir())) == 2  # the entry and its lock


def test_two_at_once_build_once(tmp_path: Path) -> None:
    calls, inside = [], threading.Event()

    def build(folder: Path) -> None:
        calls.append(folder)
        inside.wait(2)
        _write_answer(folder)

    threads = [
        threading.Thread(target=Store(tmp_path).get, args=("things", PARTS, build))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    inside.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = (
        "import pathlib, sys, time\nfrom mlubench.store import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with store.locked_if_free(lock) as free:
            assert not free
        holder.kill()
    with store.locked_if_free(lock) as free:
        assert free


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail() -> None:
        with store.atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for name in ("old", "new"):
        with atomic_folder(path) as folder:
            (folder / name).write_bytes(b"x")
    assert [file.name for file in path.iterdir()] == ["new"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_what_the_disk_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store, "_sync", refuse)
    with pytest.raises(StoreError, match=os.strerror(number)) as caught:
        write_atomic(tmp_path / "file", b"x")
    assert caught.value.where == str(tmp_path / "file")
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"File exists|Not a directory"):
        write_atomic(tmp_path / "file" / "inner", b"x")
    with pytest.raises(StoreError, match="cannot be read"):
        store.sha256_file(tmp_path / "absent")


def test_source_digest_sees_names_and_contents(tmp_path: Path) -> None:
    digests = set()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("b.txt", "3")):
        (tmp_path / name).write_text(text)
        digests.add(store.source_digest(tmp_path))
    assert len(digests) == 3
