"""Stores that cannot be used: found before anything is done, with what is to be mended."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from mlubench.errors import ConfigError
from mlubench.object_store import filesystem
from mlubench.object_store.address import parse_address
from mlubench.object_store.store import Depot
from tests.support.depots import Bucket
from tests.support.file_server import Answer, FileHandler, FileServer


def _refused(address: str) -> str:
    with pytest.raises(ConfigError) as error:
        Depot(parse_address(address), print).check()
    assert error.value.exit_status == 2
    assert address in str(error.value)
    return str(error.value)


def test_no_such_bucket(bucket: Bucket) -> None:
    told = _refused("s3://no-such-bucket/prefix")
    assert "there is no bucket no-such-bucket" in told


def test_a_user_who_may_not_write(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.open().check()
    reader = bucket.server.reader
    for name, value in reader.environment(bucket.server.url).items():
        monkeypatch.setenv(name, value)
    told = _refused(bucket.address)
    assert "access is refused (ACCESS_DENIED)" in told
    assert "AWS_ACCESS_KEY_ID" in told


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_wrong_key(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv(wrong, "WRONGSECRET")
    told = _refused(bucket.address)
    assert re.search(
        r"access is refused \((INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH)\)", told
    )
    assert "WRONGSECRET" not in told
    assert bucket.server.key.name not in told
    assert bucket.server.key.secret not in told


def _denied(signed: list[bool]) -> Answer:
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    def answer(handler: FileHandler) -> None:
        signed.append("Authorization" in handler.headers)
        handler.begin(403, Content_Length=str(len(body)), Content_Type="application/xml")
        handler.wfile.write(body)

    return answer


def test_no_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    signed: list[bool] = []
    with FileServer(_denied(signed)).running() as server:
        place = server.root.removeprefix("http://")
        told = _refused(f"s3://bucket?endpoint_override={place}&scheme=http")
    assert "access is refused (ACCESS_DENIED)" in told
    assert "AWS_PROFILE" in told
    assert signed == [False]


def test_an_endpoint_where_nobody_is(bucket: Bucket) -> None:
    told = _refused("s3://bucket?endpoint_override=127.0.0.1:9&scheme=http")
    assert "no server answers" in told
    assert "endpoint_override" in told


def test_an_endpoint_without_an_address(bucket: Bucket) -> None:
    assert "no server answers" in _refused("s3://bucket?endpoint_override=no.invalid&scheme=http")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Bucket 'bucket' not found", "there is no bucket bucket"),
        (
            "When resolving region: AWS Error NETWORK_CONNECTION during HeadBucket operation",
            "no server answers",
        ),
    ],
)
def test_a_bucket_of_aws_whose_region_cannot_be_found_out(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    """With the words of pyarrow 26; there is no AWS to ask."""
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)

    def refuse(_: str) -> str:
        raise OSError(said)

    monkeypatch.setattr(filesystem.arrow, "resolve_s3_region", refuse)
    assert told in _refused("s3://bucket/p")


def test_an_endpoint_that_says_nothing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_SILENT_SECONDS", 1)
    monkeypatch.setattr(filesystem, "_ATTEMPTS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        told = _refused(f"s3://bucket?endpoint_override={place}&scheme=http")
    assert "it does not answer in time" in told


def test_a_server_that_takes_checksums_for_bytes(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As s3rver 3.7 does, which keeps the frame of what AWS's library sends in chunks."""
    write = Depot._write_to

    def framed(self: Depot, path: str, blocks: Iterable[bytes]) -> None:
        write(self, path, [b"58\r\n", *blocks, b"\r\n0\r\nx-amz-checksum-crc64nvme:"])

    monkeypatch.setattr(Depot, "_write_to", framed)
    told = _refused(bucket.address)
    assert "gives back other bytes than were written" in told
    assert "AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED" in told


def test_a_folder_that_is_not_mounted(tmp_path: Path) -> None:
    told = _refused((tmp_path / "none").as_uri())
    assert f"there is no folder {tmp_path / 'none'}" in told
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "manifests").write_bytes(b"")
    (tmp_path / "mlubench.json").mkdir()
    assert "cannot be used" in _refused(tmp_path.as_uri())
