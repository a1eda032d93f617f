"""The pages that runs leave, for links in Prefect's UI: browsers follow none to a file."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_LOOPBACK = "127.0.0.1"
#: What is served of a folder of artifacts; Prefect's database lies there too.
_SERVED = ("runs", "nightly")


@contextmanager
def serve_pages(artifacts: Path, port: int) -> Iterator[str]:
    """Serve what runs left, on loopback and for reading, and give the address.

    Args:
        artifacts: the folder of runs and caches.
        port: where; another one where it is taken.
    """
    handler = partial(_Handler, directory=str(artifacts))
    try:
        server = ThreadingHTTPServer((_LOOPBACK, port), handler)
    except OSError:
        server = ThreadingHTTPServer((_LOOPBACK, 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{_LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    """Files of the served folders; every other path is not found."""

    def send_head(self) -> Any:
        path = posixpath.normpath(unquote(self.path.split("?")[0].split("#")[0]))
        place = Path(self.directory, path.lstrip("/")).resolve()
        roots = [Path(self.directory, name).resolve() for name in _SERVED]
        if not any(place.is_relative_to(root) for root in roots):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def log_message(self, *_: object) -> None:
        """Say nothing: this is no log that anybody reads."""
