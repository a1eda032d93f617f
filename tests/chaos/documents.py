"""Bad label lists, suites, catalogues, Parquet shards and archives: read, or refused by name."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlubench.conf import CONF
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.inputs import bounded, disturbed, read_files
from tests.chaos.kills import Undisturbed

_BATCH = 60
_LAUGHS = "\n".join(
    ["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
)
_HEAD = "description: d\n"


def _yaml(*texts: str) -> dict[str, bytes]:
    return {f"{place}.yaml": text.encode() for place, text in enumerate(texts)}


#: YAML that no reader of catalogues or suites may take, whatever keys it wants.
BAD_YAML = _yaml(
    _LAUGHS,
    _HEAD + _LAUGHS,
    "a: &a\n  b: *a\n",
    "&a [*a]",
    "&a {*a : 1}",
    "a: 1\na: 2\n",
    "[" * 100_000,
    "{" * 100_000,
    "- " * 50_000,
    "? " * 50_000,
    "a: " + "9" * 200_000,
    "a: 0x" + "f" * 200_000,
    "a: 1" + ":1" * 100_000,
    "a: .inf",
    "a: -.nan",
    "a: !!python/object/apply:os.system [true]",
    "a: !!python/name:os.system",
    'a: !!int ""',
    "a: !!bool perhaps",
    "a: !!timestamp soon",
    "a: !!binary =",
    "a: !!set {a, b}",
    "a: !!omap [a]",
    "a: !unknown 1",
    "a: 2026-13-45",
    "a: 0001-01-01 00:00:00 +23:59",
    "a: =",
    "<<: 1",
    "<<: [1, 2]",
    "? [a]\n: 1",
    "? {a: 1}\n: 1",
    "1: 2",
    "null",
    "[]",
    "text",
    "a",
    "--- a\n--- b",
    "%YAML 9.9\n---\na",
    "a: \0",
    "\ufeffa",
    "a: |\n" + " x" * 100_000,
    "a:\tb",
    "\u2028: 1",
    _HEAD + "evaluations: 1",
    _HEAD + "evaluations: [1]",
    _HEAD + "evaluations: [{matrix: 1}]",
    _HEAD + "evaluations: [{matrix: {model: []}}]",
    _HEAD + "evaluations: [{matrix: {" + ", ".join(f"o{n}: [1, 2]" for n in range(60)) + "}}]",
    _HEAD + "evaluations: [{model: sample, batch_size: 0x" + "f" * 5000 + "}]",
    _HEAD + "evaluations: [{model: [" * 150,
    _HEAD + "gates: {max_drop: " + "[" * 200 + "]" * 200 + "}\nevaluations: [{model: sample}]",
    _HEAD + "description: <script>\n",
    _HEAD + "explain: 99999999999999999999\n",
    "../../etc/passwd: {description: d}",
    "m: {description: d, prototxt: {path: [a]}}",
    "m: {description: d, caffemodel: {urls: ['file:///etc/passwd'], bytes: 1}}",
    "m: {description: d, form: images, label_order: 2012, path: 1}",
)
BAD_YAML["latin.yaml"] = b"a: \xff"
BAD_YAML["utf-16.yaml"] = "a: 1".encode("utf-16")
BAD_YAML["large.yaml"] = b"a: 1\n" * 1_000_000

#: Label lists, and whether they are to be read.
LABELS: Mapping[str, tuple[bytes, bool]] = {
    "empty": (b"", True),
    "blank": (b" \n\t\n" * 1000, True),
    "windows": (b"\xef\xbb\xbfa.jpg 1\r\nb.jpg 2\r\n", True),
    "wide spaces": ("a.jpg\u30001\n".encode(), True),
    "one field": (b"a.jpg\n", False),
    "three fields": (b"a b.jpg 1\n", False),
    "negative": (b"a.jpg -1\n", False),
    "a fraction": (b"a.jpg 1.0\n", False),
    "Arabic digits": ("a.jpg \u0663\n".encode(), False),
    "many digits": (b"a.jpg " + b"9" * 1_000_000, False),
    "an underscore": (b"a.jpg 1_0\n", False),
    "two labels": (b"a.jpg 1\na.jpg 2\n", False),
    "not UTF-8": (b"\xff.jpg 1\n", False),
    "UTF-16": ("a.jpg 1\n".encode("utf-16"), False),
    "one long line": (b"a" * 10_000_000, False),
    "zeros": (bytes(1_000_000), False),
    "a picture": (b"\xff\xd8\xff\xe0" * 1000, False),
    "markup": (b"<script>alert(1)</script> 1\n", True),
    "a path": (b"../../etc/passwd 1\n", True),
}


def _tar(**fields: object) -> bytes:
    member = tarfile.TarInfo("a.jpg")
    for name, value in fields.items():
        setattr(member, name, value)
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(512 * 4)


#: Archives that are refused, by what is wrong with a member.
TARS: Mapping[str, bytes] = {
    "an absolute path": _tar(name="/etc/passwd.jpg"),
    "dots": _tar(name="../a.jpg"),
    "dots within": _tar(name="a/../../b.jpg"),
    "a link": _tar(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": _tar(type=tarfile.LNKTYPE, linkname="b.jpg"),
    "a device": _tar(type=tarfile.BLKTYPE),
    "a terminal": _tar(type=tarfile.CHRTYPE),
    "a pipe": _tar(type=tarfile.FIFOTYPE),
    "a sparse file": _tar(type=tarfile.GNUTYPE_SPARSE),
    "a huge size": _tar(size=2**62),
    "a size beyond the end": _tar(size=2**29),
    "a long name of a huge size": _tar(type=tarfile.GNUTYPE_LONGNAME, size=2**40),
    "a pax header of a huge size": _tar(type=tarfile.XHDTYPE, size=2**40),
    "no name": _tar(name=""),
    "a name of two lines": _tar(name="a\nb.jpg"),
    "gzip": b"\x1f\x8b" + bytes(1000),
    "nothing": b"",
}


def _parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def _images(count: int) -> pa.Table:
    rows = [{"bytes": b"x" * number, "path": f"{number}.JPEG"} for number in range(count)]
    return pa.table({"image": rows, "label": list(range(count))})


def seeds() -> dict[str, list[bytes]]:
    """Return files that can be read, by their reader."""
    suites = [path.read_bytes() for path in sorted((CONF / "suites").iterdir())]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a.jpg", "n01440764/" + "b" * 150 + ".jpg"):
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(bytes(700)))
    return {
        "labels": [b"".join(b"image-%d.JPEG %d\n" % (n, n % 1000) for n in range(50))],
        "suite": suites,
        "models": [(CONF / "models.yaml").read_bytes()[:3000]],
        "datasets": [(CONF / "datasets.yaml").read_bytes()],
        "engines": [(CONF / "engines.yaml").read_bytes()],
        "parquet": [_parquet(_images(50))],
        "tar": [stream.getvalue()],
    }


def check_by_hand(folder: Path, counts: Counts) -> None:
    """Read all that was made by hand."""
    for reader in ("suite", "models", "datasets", "engines"):
        for name, reading in read_files(reader, folder / reader, BAD_YAML).items():
            bounded(f"{reader} {BAD_YAML[name][:80]!r}", reading, counts)
            # A catalogue may be empty of entries of its own, and nothing else.
            must(reading.became == "refused", f"{reader} {BAD_YAML[name][:80]!r}: {reading}")
            counts.count("suites and catalogues by hand, refused")
    labels = {name: data for name, (data, _) in LABELS.items()}
    for name, reading in read_files("labels", folder / "labels", labels).items():
        bounded(f"label list {name}", reading, counts)
        must((reading.became == "read") == LABELS[name][1], f"label list {name}: {reading}")
        counts.count(f"label lists by hand, {reading.became}")
    for name, reading in read_files("tar", folder / "tar", TARS).items():
        bounded(f"archive with {name}", reading, counts)
        must(reading.became == "refused", f"archive with {name}: {reading}")
        counts.count("archives by hand, refused")


def _by_lot(folder: Path, lot: random.Random, counts: Counts) -> None:
    """Read documents with a few changes by lot."""
    reader, seed = lot.choice(sorted(seeds().items()))
    suffix = ".yaml" if reader == "suite" else ""
    files = {f"{number}{suffix}": disturbed(lot.choice(seed), lot) for number in range(_BATCH)}
    for name, reading in read_files(reader, folder, files).items():
        bounded(str(folder / name), reading, counts)
        counts.count(f"{reader} by lot, {reading.became}")


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Read bad documents until the time is up."""
    counts = Counts()
    with counts.trial("by hand"):
        check_by_hand(chance.folder / "by-hand", counts)

    def by_lot(number: int) -> None:
        _by_lot(chance.folder / str(number), chance.lot("documents", number), counts)

    chance.trials(counts, 10_000, by_lot)
    return counts
