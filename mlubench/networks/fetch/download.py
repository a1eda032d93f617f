"""Fetching one file of known size and digest, from the first place that has it.

A place is a URL, http or https, or a file of this machine. What arrives is kept beside the
target under a temporary name, so that a cut transfer goes on where it was; it gets its own name
when size and SHA-384 are right, and never before.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from mlubench.errors import DownloadError, NetworkError
from mlubench.networks.fetch.partial_file import PartialFile, disk_errors
from mlubench.store import locked, make_folder

Place = str | Path
Progress = Callable[[int, int], None]
"""Called with (bytes there, bytes in all)."""
Remark = Callable[[str], None]
"""Called with a sentence that the user should see."""

_TIMEOUT = httpx.Timeout(30.0)
_REDIRECTS = 5
_TRIES = 4
#: A server that wants a longer pause than this is given up, in seconds.
_LONGEST_PAUSE = 60.0
#: Enough to tell a page from a prototxt or caffemodel.
_HEAD = 512
#: Fewer bytes than these, in as long as a server may be silent, and it is taken for silent.
_LEAST_BYTES = 1000
#: Of a URL: user and password before the host, and the query, which signs what it asks for.
_SECRETS = re.compile(r"(?<=://)[^/\s]*@|(\?)[^\s#]+")
_PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Wanted:
    """What a file must be.

    Attributes:
        bytes: its size.
        sha384: 96 hexadecimal digits.
    """

    bytes: int
    sha384: str

    def __str__(self) -> str:
        """As a message says it."""
        return f"{self.bytes} bytes with the SHA-384 {self.sha384}"

    def fault(self, path: Path) -> str | None:
        """Return what is wrong with a file, or None where it is the one that is wanted.

        Raises:
            StoreError: it cannot be read.
        """
        with disk_errors(path, "read"):
            size = path.stat().st_size
            if size != self.bytes:
                return f"it has {size} bytes, not {self.bytes}"
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha384").hexdigest()
        return None if digest == self.sha384 else f"its SHA-384 is {digest[:16]}..., another file"


class Downloads:
    """Fetches files; one HTTP client for all of them.

    Args:
        progress: of the file that is being fetched.
        remark: what the user should see beside.
        timeout: seconds in which a server must answer, and go on sending.
        pause: waits so many seconds between two tries.
    """

    def __init__(
        self,
        progress: Progress,
        remark: Remark,
        *,
        timeout: float | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._progress = progress
        self._remark = remark
        self._timeout = _TIMEOUT if timeout is None else httpx.Timeout(timeout)
        self._pause = pause

    def fetch(
        self,
        wanted: Wanted,
        places: Sequence[Place],
        target: Path,
        fix: str = "",
        instead: str = "",
    ) -> bool:
        """See to it that the file is there, and tell whether it had to be fetched.

        What is fetched gets its name when it is right; another file of that name is therefore
        somebody's, and stays.

        Args:
            wanted: what it must be.
            places: where it may be, in the order in which they are tried.
            target: where it is to lie.
            fix: how to come by the file by hand, where there is more to say than the URLs.
            instead: how another file of that name is used as it is.

        Raises:
            DownloadError: no place has it, but one failed in a way that may pass.
            NetworkError: no place has it, or another file lies there.
            StoreError: the target's folder cannot be written.
        """
        make_folder(target.parent)
        with locked(target.with_name(f".{target.name}.lock")):
            if target.exists():
                fault = wanted.fault(target)
                if fault is None:
                    PartialFile(target, "").forget()  # of one that was killed at its very end
                    return False
                raise _another(wanted, target, fault, instead)
            faults: list[_PlaceError] = []
            for place in places:
                try:
                    self._from(place, wanted, target)
                except _PlaceError as error:
                    self._remark(str(error))
                    faults.append(error)
                else:
                    return True
        raise _nowhere(wanted, target, faults, fix)

    def _from(self, place: Place, wanted: Wanted, target: Path) -> None:
        part = PartialFile(target, str(place))
        if isinstance(place, Path):
            _copy(place, wanted, part)
        else:
            self._download(place, wanted, part)
        part.finish()

    def _download(self, url: str, wanted: Wanted, part: PartialFile) -> None:
        """Try a URL, again after faults that may pass."""
        with httpx.Client(timeout=self._timeout) as client:
            for attempt in range(1, _TRIES + 1):
                try:
                    self._receive_whole(client, url, wanted, part)
                except _PlaceError as error:
                    if not error.again or attempt == _TRIES or error.after > _LONGEST_PAUSE:
                        raise
                    self._remark(f"{error}; trying again")
                    self._pause(error.after or float(2 ** (attempt - 1)))
                else:
                    return

    def _receive_whole(
        self, client: httpx.Client, url: str, wanted: Wanted, part: PartialFile
    ) -> None:
        """Receive what is lacking and check the whole."""
        if part.size() == wanted.bytes and wanted.fault(part.path) is None:
            return  # killed when all of it was there
        resumed = _receive(client, url, wanted, part, self._progress)
        fault = wanted.fault(part.path)
        if fault is not None:
            part.forget()
            # Only a file that was pieced together may be right at the next try.
            raise _PlaceError(url, f"the file that it gave is wrong: {fault}", again=resumed)


class _PlaceError(Exception):
    """Why a place did not give the file.

    Args:
        place: URL or path.
        what: what happened.
        again: whether another try may do.
        after: seconds that the server wants to be left alone.
    """

    def __init__(self, place: object, what: str, *, again: bool = False, after: float = 0) -> None:
        told = place if isinstance(place, Path) else without_secrets(str(place))
        super().__init__(f"{told}: {what}")
        self.again = again
        self.after = after


def without_secrets(url: str) -> str:
    """Return a URL, or any other text, without the password and the query that a URL may have."""
    return _SECRETS.sub(r"\1", url)


def _copy(file: Path, wanted: Wanted, part: PartialFile) -> None:
    """Copy a file of this machine."""
    if not file.is_file():
        raise _PlaceError(file, "there is no such file")
    if fault := wanted.fault(file):
        raise _PlaceError(file, fault)
    with disk_errors(part.path, "written"):
        shutil.copyfile(file, part.path)
    if fault := wanted.fault(part.path):
        part.forget()
        raise _PlaceError(file, f"it changed while it was copied: {fault}")


def _receive(
    client: httpx.Client, url: str, wanted: Wanted, part: PartialFile, progress: Progress
) -> bool:
    """Receive what is lacking of a file; tell whether it went on with an earlier part.

    Raises:
        _PlaceError: the server did not give it, or not all of it.
    """
    have = part.size()
    if have >= wanted.bytes:
        part.forget()
        have = 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator := part.validator():
            headers["If-Range"] = validator
    with _faults_of(url), _answer(client, url, headers) as answer:
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        _check_answer(url, answer, wanted, part, have)
        if not resumed:
            have = 0
            part.begin(_validator(answer))
        for block in _body(url, answer, wanted, part, have, client.timeout.read or math.inf):
            progress(block, wanted.bytes)
    return resumed


def _body(
    url: str,
    answer: httpx.Response,
    wanted: Wanted,
    part: PartialFile,
    have: int,
    silence: float,
) -> Iterator[int]:
    """Append the body to the part; give the size it has after each block."""
    before, since = have, time.monotonic()
    with disk_errors(part.path, "written"), part.path.open("ab") as stream:
        for block in answer.iter_raw():  # as it arrives: a cut loses nothing
            if have == 0 and _is_page(block[:_HEAD]):
                part.forget()
                raise _page(url)
            have += len(block)
            if have > wanted.bytes:
                part.forget()
                raise _PlaceError(url, f"it sends more than the {wanted.bytes} bytes of the file")
            stream.write(block)
            yield have
            if time.monotonic() - since > silence:
                if have - before < _LEAST_BYTES and have < wanted.bytes:
                    slow = f"it sends fewer than {_LEAST_BYTES} bytes in {silence:g} s"
                    raise _PlaceError(url, slow, again=True)
                before, since = have, time.monotonic()
    if have < wanted.bytes:
        raise _PlaceError(url, f"it ended after {have} of {wanted.bytes} bytes", again=True)


@contextlib.contextmanager
def _faults_of(url: str) -> Iterator[None]:
    """Turn what httpx raises into a fault of the URL."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise _PlaceError(
            url, "the server does not answer, or stopped sending", again=True
        ) from error
    except httpx.HTTPError as error:
        raise _PlaceError(url, str(error) or type(error).__name__, again=True) from error
    except httpx.InvalidURL as error:
        raise _PlaceError(url, f"is no URL: {error}") from error


@contextlib.contextmanager
def _answer(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """Give the answer after a few redirects, none of them away from http or encryption."""
    request = client.build_request("GET", url, headers=headers)
    for _ in range(_REDIRECTS + 1):
        answer = client.send(request, stream=True)
        try:
            following = answer.next_request
            if following is None:
                yield answer
                return
        finally:
            answer.close()
        scheme = following.url.scheme
        if scheme not in ("http", "https") or (request.url.scheme, scheme) == ("https", "http"):
            to = without_secrets(str(following.url))
            raise _PlaceError(url, f"it redirects from {request.url.scheme} to {to}")
        request = following
    raise _PlaceError(url, f"it redirects more than {_REDIRECTS} times")


def _check_answer(
    url: str, answer: httpx.Response, wanted: Wanted, part: PartialFile, have: int
) -> None:
    """Refuse an answer that cannot be the file, or the rest of it."""
    status = answer.status_code
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and have:
        part.forget()
        raise _PlaceError(url, "416: it has not got the rest of the file", again=True)
    if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        after = _retry_after(answer)
        pause = f"; it wants to be left alone for {after:g} s" if after else ""
        what = f"{status} {answer.reason_phrase}{pause}".replace("  ", " ")
        raise _PlaceError(url, what, again=status in _PASSING, after=after)
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise _page(url)
    expected = wanted.bytes
    if status == httpx.codes.PARTIAL_CONTENT:
        expected -= have
        if answer.headers.get("Content-Range") != f"bytes {have}-{wanted.bytes - 1}/{wanted.bytes}":
            part.forget()
            said = answer.headers.get("Content-Range", "nothing")
            raise _PlaceError(url, f"it resumes with another part: {said}", again=True)
    length = answer.headers.get("Content-Length", str(expected))
    if length != str(expected):
        part.forget()
        raise _PlaceError(url, f"it has {length} bytes to send, not {expected}")


def _validator(answer: httpx.Response) -> str:
    """Return what tells this version of the file from others: a strong ETag, or its date."""
    tag = str(answer.headers.get("ETag", ""))
    return str(answer.headers.get("Last-Modified", "")) if not tag or tag[:2] == "W/" else tag


def _retry_after(answer: httpx.Response) -> float:
    """Return the seconds of the header Retry-After, which may be a number or a date."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return max((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0


def _is_page(head: bytes) -> bool:
    """Whether a body begins as HTML does."""
    return (
        head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<head"))
    )


def _page(url: str) -> _PlaceError:
    return _PlaceError(url, "it sends an HTML page, not the file")


def _another(wanted: Wanted, target: Path, fault: str, instead: str) -> NetworkError:
    """Return the error for a file that is there and is not the one."""
    return NetworkError(
        f"a file is there and {fault}; it is left as it is",
        where=str(target),
        expected=str(wanted),
        fix=f"{instead or 'if it is yours, keep it elsewhere'}; to have the right one fetched, "
        "move it away",
    )


def _nowhere(
    wanted: Wanted, target: Path, faults: Sequence[_PlaceError], fix: str
) -> DownloadError | NetworkError:
    """Return the error for a file that no place gave; of the kind that is tried again if any is."""
    told = "".join(f"\n    {fault}" for fault in faults)
    kind = DownloadError if any(fault.again for fault in faults) else NetworkError
    return kind(
        f"could not be fetched:{told}" if told else "must be fetched by hand",
        where=str(target),
        expected=str(wanted),
        fix=f"{fix or 'fetch it by hand'}; save it as {target} and run the command again",
    )
