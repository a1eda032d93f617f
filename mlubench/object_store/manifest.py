"""Where the entries of a store lie, and what a manifest says; pure.

``manifests/<kind>/<key>.json`` names the files of an entry. Each of them is an object
``<kind>/<key>/<first 16 digits of its SHA-256>/<name>``: another content has another name, so no
object is ever changed, what two hosts write at once never mixes, and one that was left by a host
that died is written again, with the same bytes, by the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlubench.sealed import open_sealed, sealed_json

#: What is written before anything else: that a store is one, and how it is laid out.
LAYOUT_FILE = "mlubench.json"
LAYOUT = 1
_MANIFESTS = "manifests"
_ENDING = ".json"
_SHORT = 16
#: A content key or a run's id; what is of dots would lead to another folder.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileFacts:
    """What a file must be.

    Attributes:
        bytes: its size.
        sha256: 64 hex digits.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """An entry.

    Attributes:
        kind: the sort of entry, such as ``compiled``.
        key: its name among those: a content key or a run's id.
        files: by name, with ``/`` between folders.
    """

    kind: str
    key: str
    files: Mapping[str, FileFacts]

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(facts.bytes for facts in self.files.values())

    def object_of(self, name: str) -> str:
        """Return the object of a file, relative to the store."""
        return f"{self.kind}/{self.key}/{self.files[name].sha256[:_SHORT]}/{name}"


def manifest_folder(kind: str) -> str:
    """Return where the manifests of a kind lie, relative to the store."""
    return f"{_MANIFESTS}/{kind}"


def manifest_object(kind: str, key: str) -> str:
    """Return the object of a manifest, relative to the store."""
    return f"{manifest_folder(kind)}/{key}{_ENDING}"


def key_of(file: str) -> str | None:
    """Return the key whose manifest has this file name; None where it is none."""
    key = file.removesuffix(_ENDING)
    return key if file.endswith(_ENDING) and is_key(key) else None


def is_key(text: str) -> bool:
    """Whether an entry can have this name; what a store or a user names may lead elsewhere."""
    return _KEY.fullmatch(text) is not None


def write_manifest(manifest: Manifest) -> bytes:
    """Return a manifest as bytes that tell of any change to them."""
    files = {name: [facts.bytes, facts.sha256] for name, facts in manifest.files.items()}
    return sealed_json(
        {"layout": LAYOUT, "kind": manifest.kind, "key": manifest.key, "files": files}
    )


def read_manifest(data: bytes, kind: str, key: str) -> Manifest:
    """Return the manifest of an entry.

    Raises:
        ValueError: it is not as it was written, or of another entry, or names a file that would lie
            elsewhere than in the entry's folder.
    """
    value = open_sealed(data)
    if (value.get("layout"), value.get("kind"), value.get("key")) != (LAYOUT, kind, key):
        raise ValueError("it is of another entry")
    files = value.get("files")
    if not isinstance(files, dict):
        raise ValueError("it names no files")  # noqa: TRY004  # as json.loads says it
    return Manifest(kind, key, {name: _facts(name, facts) for name, facts in files.items()})


def _facts(name: str, facts: object) -> FileFacts:
    path = PurePosixPath(name)
    leaves = path.is_absolute() or ".." in path.parts or not path.name or path.as_posix() != name
    if leaves or "\\" in name or _CONTROL.search(name):
        raise ValueError(f"{name!r} is no file of an entry")
    if (
        isinstance(facts, list)
        and len(facts) == len(("bytes", "sha256"))
        and isinstance(facts[0], int)
        and facts[0] >= 0
        and isinstance(facts[1], str)
        and _SHA256.fullmatch(facts[1])
    ):
        return FileFacts(facts[0], facts[1])
    raise ValueError(f"what it says of {name} is no size and SHA-256")
