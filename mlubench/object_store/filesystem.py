"""The file systems of pyarrow that stores lie on, and what they refuse, in words.

No message of a server is repeated: some name the key that they refuse.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from pyarrow import fs as arrow

from mlubench.errors import ConfigError, DepotError
from mlubench.object_store.address import Address

#: Seconds for a connection, and without a byte; and how often a request is tried.
_CONNECT_SECONDS, _SILENT_SECONDS, _ATTEMPTS = 5, 20, 3
_AWS_ERROR = re.compile(r"AWS Error ([A-Z_]+)(?: \(HTTP status (\d+)\))?")
#: As pyarrow says it that asked for a bucket's region.
_NO_BUCKET = re.compile("Bucket '.*' not found")
_GIVE_CREDENTIALS = (
    "give credentials that may list, read and write there: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY in the environment, a profile (AWS_PROFILE), or the instance's role"
)
_SEE_ENDPOINT = (
    "see whether the endpoint is right (?endpoint_override=HOST:PORT&scheme=http, or "
    "AWS_ENDPOINT_URL) and reached from this host"
)
_DENIED = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "MISSING_AUTHENTICATION_TOKEN",
)


def open_filesystem(address: Address) -> Any:
    """Return pyarrow's file system of an address; credentials are the standard chain's."""
    if address.scheme == "file":
        return arrow.LocalFileSystem()
    region = address.region
    if region is None and address.endpoint is None:
        region = _region(address)
    return arrow.S3FileSystem(
        region=region,
        scheme=address.transport,
        endpoint_override=address.endpoint,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=arrow.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        allow_delayed_open=True,  # a small object is one request
        # Else a file that is read faster than it is sent is held in memory whole.
        background_writes=False,
    )


def wrong_store(error: OSError, address: Address) -> ConfigError:
    """Return why a store cannot be used, as found before anything is done."""
    what, fix = _reason(error, address)
    return ConfigError(
        what,
        where=address.text,
        expected="a store that can be listed, read and written",
        fix=fix,
    )


def store_failed(error: OSError, address: Address) -> DepotError:
    """Return what failed of a store that could be used when the run began."""
    what, fix = _reason(error, address)
    return DepotError(what, where=address.text, fix=fix)


def other_bytes(address: Address) -> ConfigError:
    """Return the error for a store that gives back other bytes than it was given.

    So do older servers, which take the checksums that AWS's library sends behind an object's bytes
    for a part of them.
    """
    return ConfigError(
        "gives back other bytes than were written",
        where=address.text,
        expected="a store that knows the checksums of AWS's library, or is sent none",
        fix="set AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED and run the command again",
    )


def _absent(address: Address) -> ConfigError:
    return ConfigError(
        f"there is no folder {address.root}",
        where=address.text,
        expected="a folder that all hosts have; what lies below it is made",
        fix="make it, mount the disk, or name another folder",
    )


def _region(address: Address) -> str | None:
    """Return the region of a bucket of AWS's own; None where the environment says it."""
    if os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        return None
    return str(arrow.resolve_s3_region(address.root.partition("/")[0]))


def _reason(error: OSError, address: Address) -> tuple[str, str]:
    """Return what is wrong and how it is mended."""
    if address.scheme == "file":
        return (
            f"cannot be used: {error.strerror or 'the disk refuses'}",
            "see whether it is mounted, and whether this user may write there",
        )
    found = _AWS_ERROR.search(str(error))
    code, status = (found[1], found[2]) if found else ("", "")
    if code == "NO_SUCH_BUCKET" or _NO_BUCKET.search(str(error)):
        return (
            f"there is no bucket {address.root.partition('/')[0]}",
            "make it, or name another bucket",
        )
    if code in _DENIED or status == "403":
        return f"access is refused ({code})", _GIVE_CREDENTIALS
    if code == "NETWORK_CONNECTION":
        slow = "curlCode: 28" in str(error)
        return "it does not answer in time" if slow else "no server answers", _SEE_ENDPOINT
    return (
        f"the store failed ({code or type(error).__name__}{f', HTTP {status}' if status else ''})",
        f"see what the store's own log says; or {_GIVE_CREDENTIALS}",
    )


def look(address: Address, filesystem: Any) -> None:
    """List what lies at an address; that nothing does is no fault.

    A listing's refusal says what is wrong, which the answers to questions for one object do not.

    Raises:
        OSError: the bucket, or the folder of a shared disk, is not there, or cannot be listed.
        ConfigError: the folder is not there.
    """
    if address.scheme == "file" and not Path(address.root).is_dir():
        raise _absent(address)
    with contextlib.suppress(FileNotFoundError):
        filesystem.get_file_info(arrow.FileSelector(address.root))
