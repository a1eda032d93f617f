"""The address of a store of artifacts: ``s3://bucket/prefix`` or ``file:///shared/folder``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mlubench.errors import ConfigError

Transport = Literal["http", "https"]
#: Whoever checks parameters by their JSON schema alone, as Prefect's server does before it keeps
#: them, refuses credentials by this.
PATTERN = r"^(s3://[^@:/?]+(/[^@?]*)?(\?[^@]*)?|file:///[^@?]*)$"
#: What may stand behind the question mark of an s3 address.
_QUERY = ("endpoint_override", "scheme", "region")
_EXPECTED = "s3://bucket/prefix or file:///shared/folder"
_CREDENTIALS = (
    "leave them out: they are taken from the environment (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY), a profile (AWS_PROFILE) or the instance's role"
)


@dataclass(frozen=True)
class Address:
    """Where a store is.

    Attributes:
        text: as it was given, without a last slash; it holds no credentials.
        scheme: of the two kinds of store.
        root: the bucket and the prefix, ``bucket/prefix``; of a file system the folder.
        endpoint: host and port of the server, where it is named.
        transport: how that is spoken to.
        region: where it is named.
    """

    text: str
    scheme: Literal["s3", "file"]
    root: str
    endpoint: str | None = None
    transport: Transport = "https"
    region: str | None = None

    def below(self, path: str) -> str:
        """Return the address of what lies at a path below this one."""
        place, mark, query = self.text.partition("?")
        return f"{place}/{path}{mark}{query}"


def parse_address(text: str, environment: Mapping[str, str] = os.environ) -> Address:
    """Return the address that a user gave.

    Args:
        text: the address.
        environment: has ``AWS_ENDPOINT_URL`` where the server is not AWS's own.

    Raises:
        ConfigError: it is none, or it holds credentials, which the message does not repeat.
    """
    _refuse_credentials(text)
    split = _split(text)
    if split.scheme == "file":
        return _folder(text, split)
    if split.scheme != "s3":
        raise _wrong(text, f"mlubench has no store of the kind {split.scheme or 'none'!r}")
    return _bucket(text, split, environment)


def split_run(text: str) -> tuple[str, str]:
    """Return the store's address and the run's id of ``s3://bucket/prefix/runs/RUN_ID``.

    Raises:
        ConfigError: it names no run, or holds credentials.
    """
    _refuse_credentials(text)
    place, mark, query = text.partition("?")
    store, runs, run_id = place.rstrip("/").rpartition("/runs/")
    if not runs or "/" in run_id:
        raise ConfigError(
            "names no run of a store", where=place, expected="s3://bucket/prefix/runs/RUN_ID"
        )
    return f"{store}{mark}{query}", run_id


def is_address(text: str) -> bool:
    """Whether a word is a store's address rather than a folder or a name."""
    return "://" in text


def _refuse_credentials(text: str) -> None:
    # A secret key may have a slash in it: what looks like a prefix may be the rest of one.
    authority = re.split(r"[/?#]", text.partition("://")[2])[0]
    if "@" in unquote(text) or ":" in authority:
        raise ConfigError(
            "the address holds credentials",
            where="--artifacts",
            expected=f"{_EXPECTED}, without a key",
            fix=_CREDENTIALS,
        )


def _split(text: str) -> SplitResult:
    try:
        split = urlsplit(text)
        _ = split.port
    except ValueError as error:
        raise _wrong(text, f"is no address: {error}") from error
    if split.fragment:
        raise _wrong(text, "has a # in it")
    return split


def _folder(text: str, split: SplitResult) -> Address:
    path = unquote(split.path)
    if split.netloc or split.query or not path.strip("/"):
        raise _wrong(text, "names no folder of this host")
    return Address(text.rstrip("/"), "file", path.rstrip("/"))


def _bucket(text: str, split: SplitResult, environment: Mapping[str, str]) -> Address:
    prefix = unquote(split.path).strip("/")
    if not split.netloc:
        raise _wrong(text, "names no bucket", "a server is named by ?endpoint_override=HOST:PORT")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise _wrong(text, f"its prefix {prefix!r} has an empty part, or one of dots")
    said = dict(parse_qsl(split.query, keep_blank_values=True))
    unknown = [name for name in said if name not in _QUERY]
    if unknown:
        # Not repeated: it may be a key or a signature.
        raise ConfigError(
            "the address has something behind its ? that is not known",
            where="--artifacts",
            expected=", ".join(_QUERY),
            fix=_CREDENTIALS,
        )
    endpoint, transport = _endpoint(said, text)
    if endpoint is None and "scheme" not in said:
        endpoint, transport = _usual_endpoint(environment)
    place = text.partition("?")[0].rstrip("/")
    return Address(
        text=f"{place}?{split.query}" if split.query else place,
        scheme="s3",
        root="/".join(filter(None, (split.netloc, prefix))),
        endpoint=endpoint,
        transport=transport,
        region=said.get("region") or None,
    )


def _endpoint(said: Mapping[str, str], text: str) -> tuple[str | None, Transport]:
    named, _, host = said.get("endpoint_override", "").rpartition("://")
    transport = said.get("scheme") or named or "https"
    if transport not in get_args(Transport):
        raise _wrong(text, f"scheme={transport} is neither http nor https")
    return host.rstrip("/") or None, "http" if transport == "http" else "https"


def _usual_endpoint(environment: Mapping[str, str]) -> tuple[str | None, Transport]:
    """Return the server that the environment names, as AWS's own tools take it."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if given := environment.get(name):
            named, _, host = given.rpartition("://")
            if named not in get_args(Transport) or not host or "@" in host:
                raise ConfigError(
                    "is no address of a server",
                    where=name,
                    expected="http://HOST:PORT or https://HOST:PORT, without a key",
                )
            return host.rstrip("/"), "http" if named == "http" else "https"
    return None, "https"


def _wrong(text: str, what: str, fix: str = "") -> ConfigError:
    place = text.partition("?")[0]
    return ConfigError(what, where=f"--artifacts {place}", expected=_EXPECTED, fix=fix)
