"""Fetching the files of a network of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlubench.catalogue.models import Edit, FileEntry, ModelEntry, PrototxtEntry
from mlubench.errors import ConfigError, StoreError
from mlubench.networks.fetch.download import Downloads, Place, Wanted
from mlubench.store import write_atomic

_WEB = ("http://", "https://")
#: How a file of the user's own, which is not the catalogue's, is used as it is.
_WEIGHTS_INSTEAD = "to use it as it is, name it: --model {model} --caffemodel {path}"
_PROTOTXT_INSTEAD = (
    "to use it as it is, name it with its weights in place of --model: --prototxt {path} "
    "--caffemodel ..."
)


@dataclass(frozen=True)
class FilesToFetch:
    """Files of a network that come from elsewhere.

    Attributes:
        model: the network's name in the catalogue.
        files: the prototxt, the caffemodel, or both; none of a network that is there.
        folder: where they are to lie.
    """

    model: str
    files: tuple[FileEntry, ...]
    folder: Path


@dataclass(frozen=True)
class Fetched:
    """A file that is there, and whether it had to be fetched."""

    path: Path
    anew: bool


def files_to_fetch(model: str, entry: ModelEntry, models: Path) -> FilesToFetch:
    """Return the files of a network that are not with its catalogue.

    Args:
        model: its name.
        entry: what the catalogue says of it.
        models: the folder of all networks' files.
    """
    files = (entry.prototxt, entry.caffemodel)
    return FilesToFetch(model, tuple(file for file in files if file.path is None), models / model)


def fetch_files(
    wanted: FilesToFetch,
    downloads: Downloads,
    mirrors: Sequence[str] = (),
    told: Callable[[Fetched], None] = lambda _: None,
) -> list[Fetched]:
    """See to it that the files are there, right and edited.

    Args:
        wanted: the files.
        downloads: what fetches them.
        mirrors: folders and URLs that are tried before the catalogue's.
        told: called with each file as it is done.

    Raises:
        ConfigError: a mirror is neither.
        DownloadError: a server failed; another try may do.
        NetworkError: a file is nowhere, or another of its name lies in the folder.
        StoreError: the folder cannot be written.
    """
    done: list[Fetched] = []
    for file in wanted.files:
        path = wanted.folder / file.name
        places = [*mirror_places(mirrors, wanted.model, file.name), *file.urls]
        instead = _PROTOTXT_INSTEAD if isinstance(file, PrototxtEntry) else _WEIGHTS_INSTEAD
        instead = instead.format(model=wanted.model, path=path)
        anew = downloads.fetch(_digest(file), places, path, file.fix, instead)
        if isinstance(file, PrototxtEntry) and file.edits:
            _write_edited(path, file.edits, file.used_place(wanted.folder))
        done.append(Fetched(path, anew))
        told(done[-1])
    return done


def mirror_places(mirrors: Sequence[str], model: str, file: str) -> list[Place]:
    """Return where mirrors may have a file: in a folder of the network's name, or by itself.

    Raises:
        ConfigError: a mirror is neither a folder nor a URL.
    """
    places: list[Place] = []
    for mirror in mirrors:
        if mirror.startswith(_WEB):
            base = mirror.rstrip("/")
            places += [f"{base}/{model}/{file}", f"{base}/{file}"]
        elif Path(mirror).is_dir():
            candidates = (Path(mirror) / model / file, Path(mirror) / file)
            places += [path for path in candidates if path.is_file()] or [candidates[0]]
        else:
            raise ConfigError(
                "is neither a folder nor a URL",
                where=f"--mirror {mirror}",
                expected="a folder, or a URL that begins with http:// or https://",
                fix="the files lie there by their names, or in a folder of the network's name",
            )
    return places


def edited(text: str, edits: Sequence[Edit]) -> str:
    """Return a prototxt with everything that the patterns find replaced, in their order."""
    for edit in edits:
        text = re.sub(edit.pattern, edit.replacement, text)
    return text


def chosen_models(
    catalogue: Mapping[str, ModelEntry], names: Sequence[str], *, every: bool
) -> dict[str, ModelEntry]:
    """Return the networks that are named, in their order, or every one.

    Raises:
        ConfigError: a name is not in the catalogue, or there is none.
    """
    if bool(names) == every:
        raise ConfigError(
            "names and --all are both given" if names else "no network is named",
            where="mlubench fetch",
            expected="one or more of " + ", ".join(catalogue),
            fix="name one of these, or give --all",
        )
    unknown = [name for name in names if name not in catalogue]
    if unknown:
        raise ConfigError(
            f"there is no {unknown[0]!r} in the catalogue",
            where="mlubench fetch",
            expected="one or more of " + ", ".join(catalogue),
            fix="name one of these, or add it to a models.yaml and name its folder with --conf",
        )
    return {name: catalogue[name] for name in names or catalogue}


def _digest(file: FileEntry) -> Wanted:
    if file.bytes is None or file.sha384 is None:
        raise ValueError(f"{file.name} is not fetched")  # the catalogue allows no such entry
    return Wanted(file.bytes, file.sha384)


def _write_edited(published: Path, edits: Sequence[Edit], place: Path) -> None:
    """Write the edited prototxt, unless it is there; bytes that no pattern finds stay."""
    try:
        text = published.read_bytes().decode("latin-1")
        data = edited(text, edits).encode("latin-1")
        if place.exists() and place.read_bytes() == data:
            return
    except OSError as error:
        raise StoreError(
            f"cannot be read: {error.strerror}", where=str(published), fix="see who may read it"
        ) from error
    write_atomic(place, data)
