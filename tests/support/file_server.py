"""An HTTP server of files that does, request by request, what a test tells it to."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["FileHandler"], None]


class FileServer:
    """A server on loopback; its answers are given one after the other, the last one for ever.

    Attributes:
        url: of the file, which has any name.
        asked: path and headers of each request.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Message]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), FileHandler)
        self._server.daemon_threads = True
        self._server.owner = self  # type: ignore[attr-defined]
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.root}/net/file.bin"

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


class FileHandler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        self.owner.asked.append((self.path, self.headers))
        self.owner.next_answer()(self)
        self.close_connection = True

    @property
    def owner(self) -> FileServer:
        return self.server.owner  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


def whole(data: bytes, **headers: str) -> Answer:
    """Send all of it, whatever range is asked for."""

    def answer(handler: FileHandler) -> None:
        handler.begin(200, **{"Content_Length": str(len(data)), **headers})
        handler.wfile.write(data)

    return answer


def ranged(data: bytes, etag: str = "", **headers: str) -> Answer:
    """Send the range that is asked for, unless its If-Range names another version."""

    def answer(handler: FileHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        tags = {"ETag": etag} if etag else {}
        if asked is None or handler.headers.get("If-Range", etag) != etag:
            whole(data, **tags)(handler)
            return
        first = int(asked[1])
        handler.begin(
            206,
            **{
                "Content_Length": str(len(data) - first),
                "Content_Range": f"bytes {first}-{len(data) - 1}/{len(data)}",
                **tags,
                **headers,
            },
        )
        handler.wfile.write(data[first:])

    return answer


def cut(data: bytes, after: int, **headers: str) -> Answer:
    """Promise all of it, and hang up after some bytes."""

    def answer(handler: FileHandler) -> None:
        handler.begin(200, Content_Length=str(len(data)), **headers)
        handler.wfile.write(data[:after])

    return answer


def unmeasured(data: bytes) -> Answer:
    """Send it without saying how much it is."""

    def answer(handler: FileHandler) -> None:
        handler.begin(200)
        handler.wfile.write(data)

    return answer


def stalled(data: bytes, after: int) -> Answer:
    """Promise all of it, send some bytes, and then nothing until the server ends."""

    def answer(handler: FileHandler) -> None:
        handler.begin(200, Content_Length=str(len(data)))
        handler.wfile.write(data[:after])
        handler.wfile.flush()
        handler.owner.closing.wait()

    return answer


def trickled(data: bytes) -> Answer:
    """Promise all of it, and send a byte now and then until the server ends."""

    def answer(handler: FileHandler) -> None:
        handler.begin(200, Content_Length=str(len(data)))
        with contextlib.suppress(OSError):
            for byte in data:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                if handler.owner.closing.wait(0.02):
                    return

    return answer


def status(code: int, **headers: str) -> Answer:
    """Send an error without a body."""

    def answer(handler: FileHandler) -> None:
        handler.begin(code, Content_Length="0", **headers)

    return answer
