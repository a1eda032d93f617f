"""Addresses of stores: what is understood, and that no credentials are taken or repeated."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.errors import ConfigError
from mlubench.object_store.address import PATTERN, Address, parse_address, split_run

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket", Address("s3://bucket", "s3", "bucket")),
        ("s3://bucket/a/b/", Address("s3://bucket/a/b", "s3", "bucket/a/b")),
        (
            "s3://bucket/a?endpoint_override=10.0.0.1:9000&scheme=http",
            Address(
                "s3://bucket/a?endpoint_override=10.0.0.1:9000&scheme=http",
                "s3",
                "bucket/a",
                "10.0.0.1:9000",
                "http",
            ),
        ),
        (
            "s3://bucket/?endpoint_override=http://10.0.0.1:9000&region=eu-west-1",
            Address(
                "s3://bucket?endpoint_override=http://10.0.0.1:9000&region=eu-west-1",
                "s3",
                "bucket",
                "10.0.0.1:9000",
                "http",
                "eu-west-1",
            ),
        ),
        ("file:///shared/a%20b/", Address("file:///shared/a%20b", "file", "/shared/a b")),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert parse_address(text, {}) == expected
    assert re.search(PATTERN, text)


def test_the_server_of_the_environment() -> None:
    usual = {"AWS_ENDPOINT_URL": "http://10.0.0.1:9000/"}
    assert parse_address("s3://b", usual).endpoint == "10.0.0.1:9000"
    assert parse_address("s3://b", usual).transport == "http"
    more = {**usual, "AWS_ENDPOINT_URL_S3": "https://s3.example.com"}
    assert parse_address("s3://b", more).endpoint == "s3.example.com"
    assert parse_address("s3://b?endpoint_override=h:1", more).endpoint == "h:1"
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL: is no address"):
        parse_address("s3://b", {"AWS_ENDPOINT_URL": "10.0.0.1:9000"})


@pytest.mark.parametrize(
    "text",
    [
        f"s3://AKIAEXAMPLE:{SECRET}@bucket/prefix",
        f"s3://AKIAEXAMPLE:{SECRET}",
        f"s3://AKIAEXAMPLE%3A{SECRET}%40bucket/prefix",
        f"s3://bucket/prefix?secret_key={SECRET}",
        f"s3://bucket/prefix?X-Amz-Signature={SECRET}",
        f"s3://bucket/prefix?endpoint_override=http://AKIAEXAMPLE:{SECRET}@host",
        f"file://user:{SECRET}@host/folder",
        f"s4://bucket?key={SECRET}",
    ],
)
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_address(text, {})
    assert error.value.exit_status == 2
    assert SECRET not in str(error.value)
    assert SECRET.partition("/")[0] not in str(error.value)


@given(st.text("AKIZ09", min_size=4), st.text(min_size=1), st.text())
def test_no_key_in_front_of_a_bucket_passes(key: str, secret: str, rest: str) -> None:
    text = f"s3://{key}:{secret}@{rest}"
    with pytest.raises(ConfigError):
        parse_address(text, {})
    assert not re.search(PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "bucket", "s3://", "s3:///a", "s3://b/../c", "s3://b/a//c", "file:///"),
        *("file://host/a", "gs://b", "s3://b#c", "s3://b?scheme=ftp", "file:///a?b=c", "s3://[b/c"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="expected: s3://bucket/prefix or file:///shared/folder"):
        parse_address(text, {})


def test_runs_have_addresses() -> None:
    assert split_run("s3://b/p/runs/R-1?scheme=http") == ("s3://b/p?scheme=http", "R-1")
    assert split_run("file:///a/runs/runs/R") == ("file:///a/runs", "R")
    assert parse_address("s3://b/p?scheme=http", {}).below("runs/R-1") == (
        "s3://b/p/runs/R-1?scheme=http"
    )
    for text in ("s3://b/p", "s3://b/runs/R/x", "s3://b/p/runs"):
        with pytest.raises(ConfigError, match="names no run") as error:
            split_run(f"{text}?secret_key={SECRET}")
        assert SECRET not in str(error.value)
