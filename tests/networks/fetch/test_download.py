"""Fetching from servers of every bad habit: never a wrong file under the right name."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlubench.errors import DownloadError, MlubenchError, NetworkError, StoreError
from mlubench.networks.fetch.download import Downloads, Wanted
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

DATA = random.Random(0).randbytes(5000)
OTHER = random.Random(1).randbytes(5000)
WANTED = Wanted(len(DATA), hashlib.sha384(DATA).hexdigest())
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Site:
    """A folder to fetch into, and what was said meanwhile."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.target = folder / "models" / "net" / "file.bin"
        self.remarks: list[str] = []
        self.pauses: list[float] = []
        self.progress: list[tuple[int, int]] = []
        self._stack = stack
        self.downloads = Downloads(
            lambda done, total: self.progress.append((done, total)),
            self.remarks.append,
            timeout=0.3,
            pause=self.pauses.append,
        )

    def serve(self, *answers: Answer) -> FileServer:
        return self._stack.enter_context(FileServer(*answers).running())

    def fetch(self, *places: str | Path, fix: str = "") -> bool:
        return self.downloads.fetch(WANTED, places, self.target, fix)

    def fails(self, kind: type[MlubenchError], *places: str | Path) -> str:
        with pytest.raises(MlubenchError) as caught:
            self.fetch(*places)
        assert type(caught.value) is kind
        assert not self.target.exists()
        return str(caught.value)

    def left(self) -> set[str]:
        return {path.name for path in self.target.parent.iterdir()}


@pytest.fixture
def site(tmp_path: Path, stack: ExitStack) -> Site:
    return Site(tmp_path, stack)


def test_a_file_is_fetched_and_nothing_else_left(site: Site) -> None:
    server = site.serve(whole(DATA))
    assert site.fetch(server.url)
    assert site.target.read_bytes() == DATA
    assert site.left() == {"file.bin", ".file.bin.lock"}
    assert site.progress[-1] == (len(DATA), len(DATA))
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


def test_a_file_that_is_there_needs_no_network(site: Site) -> None:
    site.target.parent.mkdir(parents=True)
    site.target.write_bytes(DATA)
    assert not site.fetch("http://127.0.0.1:1/nobody/file.bin")
    assert not site.remarks


@pytest.mark.parametrize("mine", [OTHER, OTHER[:5], b""], ids=["digest", "size", "empty"])
def test_another_file_of_that_name_is_somebodys_and_stays(site: Site, mine: bytes) -> None:
    site.target.parent.mkdir(parents=True)
    site.target.write_bytes(mine)
    server = site.serve(whole(DATA))
    with pytest.raises(NetworkError, match="it is left as it is") as caught:
        site.downloads.fetch(WANTED, [server.url], site.target, instead="name it so")
    assert site.target.read_bytes() == mine
    assert server.asked == []
    assert caught.value.where == str(site.target)
    assert caught.value.expected == str(WANTED)
    assert "name it so" in caught.value.fix
    assert "move it away" in caught.value.fix


def test_a_cut_transfer_goes_on_where_it_was(site: Site) -> None:
    server = site.serve(cut(DATA, 2000, ETag='"one"'), ranged(DATA, '"one"'))
    assert site.fetch(server.url)
    assert site.target.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=2000-"]
    assert server.asked[1][1]["If-Range"] == '"one"'
    assert site.pauses == [1.0]


def test_a_killed_transfer_goes_on_in_another_process(site: Site, stack: ExitStack) -> None:
    server = site.serve(cut(DATA, 2000))
    site.fails(DownloadError, server.url)
    server.answers[:] = [ranged(DATA)]
    again = Site(site.target.parents[2], stack)
    assert again.fetch(server.url)
    assert server.ranges()[-1] == "bytes=2000-"


def test_a_transfer_killed_at_its_end_is_only_checked(site: Site) -> None:
    server = site.serve(cut(DATA, 2000))
    site.fails(DownloadError, server.url)
    (site.target.parent / ".part-file.bin").write_bytes(DATA)
    asked = len(server.asked)
    assert site.fetch(server.url)
    assert len(server.asked) == asked


def test_a_transfer_killed_when_it_was_named_leaves_nothing(site: Site) -> None:
    site.fetch(site.serve(whole(DATA)).url)
    (site.target.parent / ".part-file.bin.json").write_text('{"place": "x", "validator": ""}')
    assert not site.fetch("http://127.0.0.1:1/nobody/file.bin")
    assert site.left() == {"file.bin", ".file.bin.lock"}


def test_a_server_without_ranges_sends_all_again(site: Site) -> None:
    server = site.serve(cut(DATA, 2000), whole(DATA))
    assert site.fetch(server.url)
    assert site.target.read_bytes() == DATA


def test_a_file_that_changes_between_two_ranges_is_begun_anew(site: Site) -> None:
    server = site.serve(cut(OTHER, 2000, ETag='"old"'), ranged(DATA, '"new"'))
    assert site.fetch(server.url)
    assert site.target.read_bytes() == DATA


def test_a_change_that_the_server_hides_is_found_by_the_digest(site: Site) -> None:
    server = site.serve(cut(OTHER, 2000), ranged(DATA))
    assert site.fetch(server.url)
    assert site.target.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=2000-", None]
    assert "is wrong" in site.remarks[-1]


def test_a_weak_etag_is_no_validator(site: Site) -> None:
    date = format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)
    server = site.serve(cut(DATA, 2000, ETag='W/"one"', Last_Modified=date), whole(DATA))
    assert site.fetch(server.url)
    assert server.asked[1][1]["If-Range"] == date


@pytest.mark.parametrize(
    "said", ["bytes 0-4999/5000", "bytes 2000-4999/6000", "bytes 2000-3999/5000", "", "nonsense"]
)
def test_a_wrong_range_is_not_appended(site: Site, said: str) -> None:
    server = site.serve(cut(DATA, 2000), ranged(DATA, Content_Range=said), ranged(DATA))
    assert site.fetch(server.url)
    assert site.target.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=2000-", None]


def test_416_begins_anew(site: Site) -> None:
    server = site.serve(cut(DATA, 2000), status(416), ranged(DATA))
    assert site.fetch(server.url)
    assert server.ranges() == [None, "bytes=2000-", None]


def test_416_for_ever_ends(site: Site) -> None:
    said = site.fails(NetworkError, site.serve(status(416)).url)
    assert "416" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (status(404), "404 Not Found"),
        (status(403), "403 Forbidden"),
        (whole(OTHER), "the file that it gave is wrong: its SHA-384 is"),
        (whole(DATA + b"!"), "has 5001 bytes to send, not 5000"),
        (whole(DATA[:-1]), "has 4999 bytes to send, not 5000"),
        (unmeasured(DATA + OTHER), "it sends more than the 5000 bytes"),
        (whole(PAGE, Content_Type="text/html; charset=utf-8"), "an HTML page"),
        (unmeasured(PAGE), "an HTML page"),
        (unmeasured(b"\n " + PAGE.ljust(4998)), "an HTML page"),
        (status(302, Location="file:///etc/passwd"), "redirects from http to file:"),
        (status(302, Location="ftp://127.0.0.1/file.bin"), "redirects from http to ftp:"),
        (status(302, Location="/net/file.bin"), "redirects more than 5 times"),
    ],
)
def test_what_no_second_try_mends(site: Site, answer: Answer, words: str) -> None:
    server = site.serve(answer)
    said = site.fails(NetworkError, server.url)
    assert words in said
    assert server.url in said
    assert str(site.target) in said
    assert WANTED.sha384 in said
    assert "by hand" in said
    assert not site.pauses
    assert site.left() <= {".file.bin.lock", ".part-file.bin", ".part-file.bin.json"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (status(500), "500 Internal Server Error"),
        (status(429), "429 Too Many Requests"),
        (cut(DATA, 0), "peer closed connection"),
        (unmeasured(DATA[:100]), "it ended after 100 of 5000 bytes"),
        (stalled(DATA, 0), "does not answer, or stopped sending"),
        (stalled(DATA, 3000), "does not answer, or stopped sending"),
        (trickled(DATA), "it sends fewer than 1000 bytes in 0.3 s"),
    ],
)
def test_what_may_pass_is_tried_four_times(site: Site, answer: Answer, words: str) -> None:
    server = site.serve(answer)
    said = site.fails(DownloadError, server.url)
    assert words in said
    assert server.url in said
    assert len(server.asked) == 4
    assert site.pauses == [1.0, 2.0, 4.0]


def test_a_fault_that_passes(site: Site) -> None:
    server = site.serve(status(503), stalled(DATA, 3000), ranged(DATA))
    assert site.fetch(server.url)
    assert site.target.read_bytes() == DATA


def test_a_server_that_is_not_there(site: Site) -> None:
    assert "127.0.0.1:1" in site.fails(DownloadError, "http://127.0.0.1:1/file.bin")


@pytest.mark.parametrize(
    ("said", "pauses"), [("7", [7.0]), ("soon", [1.0]), ("-3", [1.0]), ("3600", [])]
)
def test_retry_after_is_heeded_within_reason(site: Site, said: str, pauses: list[float]) -> None:
    server = site.serve(status(429, Retry_After=said), whole(DATA))
    if pauses:
        assert site.fetch(server.url)
    else:
        assert "for 3600 s" in site.fails(DownloadError, server.url)
    assert site.pauses == pauses


def test_retry_after_may_be_a_date(site: Site) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    assert site.fetch(site.serve(status(503, Retry_After=soon), whole(DATA)).url)
    assert 0 < site.pauses[0] <= 50


def test_retry_after_may_be_nonsense(site: Site) -> None:
    far = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
    assert site.fetch(site.serve(status(429, Retry_After=far), whole(DATA)).url)


def test_secrets_of_a_url_are_not_kept_with_a_part(site: Site) -> None:
    server = site.serve(cut(DATA, 2000))
    url = server.url.replace("://", "://user:password@") + "?token=password"
    site.fails(DownloadError, url)
    kept = [path.read_bytes() for path in site.target.parent.iterdir() if path.suffix == ".json"]
    assert kept
    assert not any(b"password" in each for each in kept)
    server.answers[:] = [ranged(DATA)]
    assert site.fetch(url)
    assert server.ranges()[-1] == "bytes=2000-"


def test_secrets_of_a_url_are_not_told(site: Site) -> None:
    away = status(302, Location="ftp://me:pass@word@127.0.0.1/file.bin?signature=word")
    server = site.serve(away)
    url = server.url.replace("://", "://user:password@") + "?token=password"
    said = site.fails(NetworkError, url)
    assert "password" not in said + "".join(site.remarks)
    assert "word" not in said
    assert server.url + "?" in said


def test_redirects_are_followed(site: Site) -> None:
    server = site.serve(status(302, Location="/elsewhere"), cut(DATA, 2000))
    server.answers += [status(301, Location="/elsewhere"), ranged(DATA)]
    assert site.fetch(server.url)
    assert [path for path, _ in server.asked] == ["/net/file.bin", "/elsewhere"] * 2
    assert server.ranges() == [None, None, "bytes=2000-", "bytes=2000-"]


def test_mirrors_are_tried_in_their_order(site: Site, tmp_path: Path) -> None:
    bad, good = site.serve(whole(OTHER)), site.serve(whole(DATA))
    absent = tmp_path / "absent" / "file.bin"
    assert site.fetch(absent, bad.url, good.url)
    assert site.target.read_bytes() == DATA
    assert [remark.split(": ")[0] for remark in site.remarks] == [str(absent), bad.url]


def test_a_part_of_one_mirror_is_not_continued_from_another(site: Site) -> None:
    bad, good = site.serve(cut(OTHER, 2000)), site.serve(ranged(DATA))
    assert site.fetch(bad.url, good.url)
    assert good.ranges() == [None]


def test_a_failing_server_among_mirrors_is_worth_another_try(site: Site) -> None:
    urls = [site.serve(status(code)).url for code in (404, 500)]
    said = site.fails(DownloadError, *urls)
    assert all(url in said for url in urls)


def test_a_folder_may_have_the_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(DATA)
    assert site.fetch(tmp_path / "file.bin")
    assert site.target.read_bytes() == DATA
    assert site.left() == {"file.bin", ".file.bin.lock"}


def test_a_wrong_file_in_a_folder_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(DATA[:-1])
    said = site.fails(NetworkError, tmp_path / "file.bin")
    assert "it has 4999 bytes, not 5000" in said


def test_what_is_fetched_by_hand_is_told(site: Site) -> None:
    with pytest.raises(NetworkError) as caught:
        site.fetch(fix="register at example.org and ask for it")
    assert "must be fetched by hand" in str(caught.value)
    assert f"ask for it; save it as {site.target}" in str(caught.value)


def test_a_url_that_is_none(site: Site) -> None:
    assert "is no URL" in site.fails(NetworkError, "http://[::1/file.bin")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(site: Site) -> None:
    site.target.parent.mkdir(parents=True)
    site.target.parent.chmod(0o500)
    site.fails(StoreError, site.serve(whole(DATA)).url)


def test_a_folder_in_a_files_place(site: Site) -> None:
    site.target.parent.parent.mkdir(parents=True)
    site.target.parent.write_bytes(b"")
    site.fails(StoreError, site.serve(whole(DATA)).url)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    answers=st.lists(
        st.sampled_from(
            [
                status(404),
                status(500),
                status(416),
                cut(DATA, 1234, ETag='"a"'),
                cut(OTHER, 2345),
                ranged(OTHER, '"b"'),
                ranged(DATA, '"a"'),
                ranged(DATA),
                whole(OTHER),
                whole(PAGE),
                unmeasured(DATA[:10]),
                whole(DATA),
            ]
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_a_server_does_the_file_is_right_or_absent(
    tmp_path_factory: pytest.TempPathFactory, answers: list[Answer]
) -> None:
    with ExitStack() as stack:
        site = Site(tmp_path_factory.mktemp("site"), stack)
        server = site.serve(*answers)
        try:
            site.fetch(server.url, server.url)
        except (NetworkError, DownloadError):
            assert not site.target.exists()
        else:
            assert site.target.read_bytes() == DATA
