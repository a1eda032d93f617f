"""The tar index against Python's own tarfile, and what it refuses."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.errors import DatasetError
from mlubench.images.datasets.source import base_name
from mlubench.images.datasets.tar import MAX_MEMBER_BYTES, TarSource
from mlubench.images.datasets.wnids import plain_name

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
PARTS = st.text(st.sampled_from("abc _-.é漢"), min_size=1, max_size=40).filter(
    lambda part: not part.startswith(".")
)
FILES = st.dictionaries(
    st.tuples(st.lists(PARTS, max_size=5), st.integers(0, 99_999)).map(
        lambda path: "/".join([*path[0], f"image_{path[1]}.JPEG"])
    ),
    st.binary(max_size=1500),
    max_size=8,
).filter(lambda files: len({base_name(path) for path in files}) == len(files))


def _pack(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _member(name: str = "a.jpg", data: bytes = b"", **fields: object) -> bytes:
    """Return an archive of one member with unusual fields."""
    stream = io.BytesIO()
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(data) if data else None)
    return stream.getvalue()


def _open(data: bytes, folder: Path) -> TarSource:
    path = folder / "images.tar"
    path.write_bytes(data)
    return TarSource.open(path)


@given(FILES, st.sampled_from(FORMATS))
def test_every_image_is_where_tarfile_has_it(files: dict[str, bytes], form: int) -> None:
    if form == tarfile.USTAR_FORMAT:
        files = {path: data for path, data in files.items() if len(path.encode()) < 100}
    with tempfile.TemporaryDirectory() as folder:
        source = _open(_pack(files, form), Path(folder))
        with tarfile.open(source.archive) as archive:
            expected = {
                base_name(member.name): (member.name, member.offset_data, member.size)
                for member in archive
            }
        assert {name: tuple(member) for name, member in source.members.items()} == expected
        assert {source.members[name].path: source.read(name) for name in source.names()} == files


def test_a_long_path_of_ustar_is_put_together(tmp_path: Path) -> None:
    path = "/".join(["folder" * 5] * 4) + "/image.JPEG"
    source = _open(_pack({path: b"x"}, tarfile.USTAR_FORMAT), tmp_path)
    assert source.members["image.JPEG"].path == path
    assert source.read("image.JPEG") == b"x"


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind in (
            ("./", tarfile.DIRTYPE),
            ("./val", tarfile.DIRTYPE),
            ("./val/a.JPEG", tarfile.REGTYPE),
            ("./val/._a.JPEG", tarfile.REGTYPE),
            ("./README", tarfile.REGTYPE),
            ("b.png", tarfile.AREGTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member)
    assert sorted(_open(stream.getvalue(), tmp_path).names()) == ["a.JPEG", "b.png"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_member("/etc/a.jpg"), "outside"),
        (_member("x/../../a.jpg"), "outside"),
        (_member(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link"),
        (_member(type=tarfile.LNKTYPE, linkname="b.jpg"), "a link"),
        (_member(type=tarfile.CHRTYPE), "a device"),
        (_member(type=tarfile.BLKTYPE), "a device"),
        (_member(type=tarfile.FIFOTYPE), "a pipe"),
        (_member(type=tarfile.GNUTYPE_SPARSE), "of the type b'S'"),
        (_member(type=b"V"), "of the type b'V'"),
    ],
)
def test_what_no_archive_of_images_has_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        _open(data, tmp_path)
    assert "a.jpg" in caught.value.where


@pytest.mark.parametrize("size", [MAX_MEMBER_BYTES + 1, 8**11, 2**62])
def test_an_absurd_size_is_refused(tmp_path: Path, size: int) -> None:
    member = tarfile.TarInfo("a.jpg")
    member.size = size
    header = member.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(DatasetError, match="member of more than"):
        _open(header + bytes(2048), tmp_path)


def test_an_absurd_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="a header of"):
        _open(_pack({"d/" * 600_000 + "a.jpg": b""}), tmp_path)


@pytest.mark.parametrize(
    "records", [b"12 path=a.jpg\n", b"9 size=x\n", b"99999 path=a\n", b"7 path\n", b"x", b"0 a=b\n"]
)
def test_a_damaged_pax_header_is_told(tmp_path: Path, records: bytes) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("pax")
        member.type, member.size = tarfile.XHDTYPE, len(records)
        archive.addfile(member, io.BytesIO(records))
    with pytest.raises(DatasetError, match="pax header"):
        _open(stream.getvalue(), tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(_pack({"a.jpg": b"x"})), "is no tar archive"),
        (b"<html>" * 200, "is no tar archive"),
        (b"", "truncated"),
        (b"ustar", "is no tar archive"),
    ],
    ids=["gzip", "html", "empty", "short"],
)
def test_another_file_is_told(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        _open(data, tmp_path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.tar", tmp_path):
        with pytest.raises(DatasetError, match="cannot be read"):
            TarSource.open(path)


def test_an_archive_cut_anywhere_is_truncated(tmp_path: Path) -> None:
    whole = _pack({f"{number}.jpg": b"x" * 700 for number in range(3)})
    end = 3 * (512 + 1024)
    assert whole[end : end + 1024] == bytes(1024)
    for cut in range(512, end + 1, 128):
        with pytest.raises(DatasetError, match="truncated"):
            _open(whole[:cut], tmp_path)
    assert len(_open(whole[: end + 512], tmp_path).names()) == 3


@given(st.data())
def test_damaged_bytes_are_an_error_or_a_list(data: st.DataObject) -> None:
    """No bytes make anything but a list of members within the file, or a DatasetError."""
    whole = bytearray(_pack({"d" * 120 + "/a.jpg": b"x" * 600, "b.jpg": b"y"}, tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = _open(bytes(whole), Path(folder))
        except DatasetError:
            return
        for name, member in source.members.items():
            assert len(source.read(name)) == member.size


def test_two_images_of_one_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"called a\.jpg: one/a\.jpg and two/a\.jpg"):
        _open(_pack({"one/a.jpg": b"", "two/a.jpg": b""}), tmp_path)
    twice = _pack({"a.jpg": b""})[:512] + _pack({"a.jpg": b""})
    with pytest.raises(DatasetError, match=r"called a\.jpg: a\.jpg and a\.jpg"):
        _open(twice, tmp_path)


def test_a_name_that_is_not_text_is_told(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(os.fsdecode(b"caf\xe9.jpg")))
    with pytest.raises(DatasetError, match=r"caf\\udce9\.jpg is not UTF-8"):
        _open(stream.getvalue(), tmp_path)


def test_names_may_be_made_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "images.tar"
    path.write_bytes(_pack({"val/ILSVRC2012_val_00000001_n01751748.JPEG": b"x"}))
    source = TarSource.open(path, plain_name)
    assert source.read("ILSVRC2012_val_00000001.JPEG") == b"x"


def test_a_change_while_it_is_read_is_told(tmp_path: Path) -> None:
    source = _open(_pack({"a.jpg": b"x" * 9}), tmp_path)
    assert list(source.stats(["a.jpg"])) == [(9, source.archive.stat().st_mtime_ns)]
    os.utime(source.archive, ns=(0, 1))
    with pytest.raises(DatasetError, match="was changed"):
        source.read("a.jpg")
    source.archive.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        source.read("a.jpg")
