"""Bad downloads: whatever servers do, the file is right or there is an error."""

from __future__ import annotations

import hashlib
import os
import random
from contextlib import ExitStack
from pathlib import Path

from mlubench.errors import DownloadError, NetworkError
from mlubench.networks.fetch.download import Downloads, Wanted
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.kills import Undisturbed
from tests.support.file_server import (
    Answer,
    FileServer,
    cut,
    ranged,
    stalled,
    status,
    trickled,
    unmeasured,
    whole,
)

_SIZE = 5000
_PATIENCE = 0.2
DATA = random.Random(0).randbytes(_SIZE)
OTHER = random.Random(1).randbytes(_SIZE)
WANTED = Wanted(_SIZE, hashlib.sha384(DATA).hexdigest())
_PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
#: By name, what a server may do with a request.
ANSWERS: dict[str, Answer] = {
    "whole": whole(DATA),
    "in ranges": ranged(DATA),
    "in ranges, tagged": ranged(DATA, '"one"'),
    "cut": cut(DATA, 2000),
    "cut, tagged": cut(DATA, 1234, ETag='"one"'),
    "cut at once": cut(DATA, 0),
    "stalled": stalled(DATA, 3000),
    "trickled": trickled(DATA),
    "too long": whole(DATA + b"!"),
    "too short": whole(DATA[:-1]),
    "longer than said": unmeasured(DATA + OTHER),
    "shorter than said": unmeasured(DATA[:100]),
    "no length": unmeasured(DATA),
    "length that is no number": whole(DATA, Content_Length="many"),
    "negative length": whole(DATA, Content_Length="-1"),
    "wrong bytes": whole(OTHER),
    "another file in ranges": ranged(OTHER),
    "another version in ranges": ranged(OTHER, '"two"'),
    "another version that hides it": ranged(OTHER, '"one"'),
    "another version, cut": cut(OTHER, 2345, ETag='"two"'),
    "wrong range": ranged(DATA, Content_Range=f"bytes 1-{_SIZE - 1}/{_SIZE}"),
    "page": whole(_PAGE, Content_Type="text/html"),
    "page of the right size": unmeasured(_PAGE.ljust(_SIZE)),
    "page that says it is none": whole(_PAGE),
    "compressed": whole(DATA, Content_Encoding="gzip"),
    "circle": status(302, Location="/net/file.bin"),
    "to a file": status(302, Location="file:///etc/passwd"),
    "to ftp": status(302, Location="ftp://127.0.0.1/file.bin"),
    "to data": status(302, Location="data:,x"),
    "to nowhere": status(302, Location="http://127.0.0.1:1/file.bin"),
    "to nonsense": status(302, Location="http://[::1/\\"),
    "to nothing": status(302),
    "404": status(404),
    "416": status(416),
    "429": status(429),
    "429, soon": status(429, Retry_After="1"),
    "429, late": status(429, Retry_After="9" * 400),
    "429, never": status(429, Retry_After="Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),
    "500": status(500),
    "503": status(503),
    "204": status(204),
    "206 unasked": status(206),
}


def attempt(folder: Path, names: list[str]) -> str:
    """Fetch from a server that does all of that; return what came of it."""
    with ExitStack() as stack:
        server = stack.enter_context(FileServer(*(ANSWERS[name] for name in names)).running())
        downloads = Downloads(
            lambda done, total: None, lambda text: None, timeout=_PATIENCE, pause=lambda _: None
        )
        target = folder / "file.bin"
        try:
            downloads.fetch(WANTED, [server.url, server.url], target)
        except (DownloadError, NetworkError) as error:
            must(not target.exists(), f"{names}: a file is there in spite of {error}")
            must(server.url in str(error), f"{names}: {error}")
            return "told"
        must(target.read_bytes() == DATA, f"{names}: another file")
        left = {path.name for path in folder.iterdir()} - {"file.bin", ".file.bin.lock"}
        must(not left, f"{names}: left {left}")
        return "right"


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Fetch from bad servers until the time is up: first of each one habit, then several."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    counts = Counts()
    alone = [[name] for name in ANSWERS]

    def trial(number: int) -> None:
        lot = chance.lot("downloads", number)
        drawn = [lot.choice(list(ANSWERS)) for _ in range(lot.randrange(2, 9))]
        names = alone[number] if number < len(alone) else drawn
        counts.count(f"transfers, {attempt(chance.folder / str(number), names)}")

    chance.trials(counts, 100_000, trial)
    return counts
