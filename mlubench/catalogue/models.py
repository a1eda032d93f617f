"""The catalogue of networks, ``conf/models.yaml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mlubench.catalogue.entries import Channels, LabelOrderName, Resize, Variances, read_entries
from mlubench.engines.precisions import PRECISIONS

_NAME = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"

Positive = Annotated[int, Field(gt=0)]
File = TypeVar("File", bound="FileEntry")

Fraction = Annotated[float, Field(ge=0, le=1)]
Url = Annotated[str, Field(pattern=rf"^https?://[^/\s]+/([^\s?#]+/)?{_NAME}$")]
FileName = Annotated[str, Field(pattern=rf"^{_NAME}$")]


def _compiled(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return pattern


def _known_precision(name: str) -> str:
    if name not in PRECISIONS:
        raise ValueError(f"is no precision; there are {', '.join(PRECISIONS)}")
    return name


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Entry):
    """A file of a network: one that is there (``path``), or one that is fetched and checked.

    Attributes:
        path: of a file that is there, relative to the catalogue; then nothing else is given.
        urls: where the file is, tried in their order; all of them have the same bytes.
        file: its name; that of the first URL where it is not given.
        bytes: its size.
        sha384: its SHA-384, 96 hexadecimal digits.
        fix: how to come by it by hand; needed where there is no URL.
    """

    path: Path | None = None
    urls: tuple[Url, ...] = ()
    file: FileName | None = None
    bytes: Positive | None = None
    sha384: Annotated[str, Field(pattern="^[0-9a-f]{96}$")] | None = None
    fix: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        told = self.urls or self.file or self.bytes or self.sha384 or self.fix
        if self.path is not None and told:
            raise ValueError("path stands alone: a file that is there is not fetched")
        if self.path is None and not (self.bytes and self.sha384):
            raise ValueError("needs path, or bytes and sha384 of the file that is to be fetched")
        if self.path is None and not self.urls and not (self.file and self.fix):
            raise ValueError("needs urls, or file (its name) and fix (how to come by it)")
        return self

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name if self.path else self.file or self.urls[0].rsplit("/", 1)[1]

    def place(self, folder: Path) -> Path:
        """Return where the file lies: where it is, or in the folder of what is fetched."""
        return self.path or folder / self.name


class Edit(_Entry):
    """A change of a prototxt: what the regular expression finds is replaced, everywhere."""

    pattern: Annotated[str, AfterValidator(_compiled)]
    replacement: str


class PrototxtEntry(FileEntry):
    """A prototxt: the file as it is published, and how it is changed before it is used."""

    edits: tuple[Edit, ...] = ()

    @property
    def used_name(self) -> str:
        """The name of the file that is used: not the published one's where that is changed."""
        return f"edited-{self.name}" if self.edits else self.name

    def used_place(self, folder: Path) -> Path:
        """Return where the file that is used lies."""
        return folder / self.used_name if self.edits else self.place(folder)


class Published(_Entry):
    """An accuracy that somebody else measured on ImageNet's 50,000 validation images.

    Attributes:
        source: who, on what.
        precision: MagicMind's name of the numeric mode.
        top1: fraction of the images.
        top5: fraction of the images.
        differs: in what the measurement differs from this catalogue's entry; empty if in
            nothing that is known.
    """

    source: str
    precision: Annotated[str, AfterValidator(_known_precision)]
    top1: Fraction
    top5: Fraction
    differs: str = ""


class ModelEntry(_Entry):
    """A network: its files, the preprocessing that it was trained for, published figures.

    Attributes:
        description: in a few words.
        prototxt: Caffe's text of it.
        caffemodel: its weights.
        input_size: height and width of its input, in pixels.
        means: per channel (B, G, R), subtracted.
        vars: per channel; pixels are divided by the square root.
        resize: what is resized before the crop.
        resize_size: to how many pixels.
        label_order: how it numbers its classes.
        published: figures to compare with.
        note: what else its user must know.
    """

    description: str
    prototxt: PrototxtEntry
    caffemodel: FileEntry
    input_size: Positive
    means: Channels
    vars: Variances
    resize: Resize
    resize_size: Positive
    label_order: LabelOrderName
    published: tuple[Published, ...] = ()
    note: str = ""


def models(folders: Sequence[Path] = ()) -> dict[str, ModelEntry]:
    """Return the networks by name, file names made absolute.

    Args:
        folders: further folders of catalogues (``--conf``).

    Raises:
        ConfigError: a catalogue cannot be read or an entry is wrong; names file and key.
    """
    return {
        name: entry.model_copy(
            update={
                "prototxt": _within(folder, entry.prototxt),
                "caffemodel": _within(folder, entry.caffemodel),
            }
        )
        for name, (entry, folder) in read_entries("models.yaml", ModelEntry, folders).items()
    }


def _within(folder: Path, file: File) -> File:
    return file if file.path is None else file.model_copy(update={"path": folder / file.path})
