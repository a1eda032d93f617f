"""The files of a network: fetched, edited, and found by an evaluation."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlubench import cli
from mlubench.catalogue import models
from mlubench.catalogue.models import Edit
from mlubench.errors import ConfigError, NetworkError
from mlubench.networks.fetch.download import Downloads
from mlubench.networks.fetch.files import (
    chosen_models,
    edited,
    fetch_files,
    files_to_fetch,
    mirror_places,
)
from tests.support.file_server import FileServer, status, whole
from tests.support.long import long

CONF = Path(__file__).resolve().parents[3] / "conf"
TEXT = (CONF / "sample" / "se_resnet50_digits.prototxt").read_bytes().replace(b"\n", b"\r\n", 1)
WEIGHTS = (CONF / "sample" / "se_resnet50_digits.caffemodel").read_bytes()


def catalogue(folder: Path, root: str = "http://127.0.0.1:1", **changes: Any) -> Path:
    """Write a catalogue whose one network, ``mine``, is the sample, fetched from that server."""
    files: dict[str, Any] = {
        key: {
            "urls": [f"{root}/x/{name}"],
            "bytes": len(data),
            "sha384": hashlib.sha384(data).hexdigest(),
        }
        for key, name, data in (
            ("prototxt", "deploy.prototxt", TEXT),
            ("caffemodel", "mine.caffemodel", WEIGHTS),
        )
    }
    files["prototxt"]["edits"] = [{"pattern": "dim: 56", "replacement": "dim:  56"}]
    entry = {
        "description": "the sample",
        **files,
        "input_size": 56,
        "means": [104, 117, 123],
        "vars": [1, 1, 1],
        "resize": "none",
        "resize_size": 64,
        "label_order": "digits",
        "published": [
            {"source": "us", "precision": "force_float32", "top1": 0.99, "top5": 1},
        ],
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / "models.yaml").write_text(json.dumps({"mine": entry}))
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the network's files by their names."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "deploy.prototxt").write_bytes(TEXT)
    (folder / "mine.caffemodel").write_bytes(WEIGHTS)
    return folder


def _quiet() -> Downloads:
    return Downloads(lambda done, total: None, lambda text: None, pause=lambda seconds: None)


def _fetch(conf: Path, out: Path, *mirrors: str) -> dict[str, bool]:
    wanted = files_to_fetch("mine", models([conf])["mine"], out)
    return {done.path.name: done.anew for done in fetch_files(wanted, _quiet(), mirrors)}


def test_files_are_fetched_once(tmp_path: Path, files: Path) -> None:
    conf = catalogue(tmp_path / "conf")
    names = ("deploy.prototxt", "mine.caffemodel")
    assert _fetch(conf, tmp_path, str(files)) == dict.fromkeys(names, True)
    assert _fetch(conf, tmp_path) == dict.fromkeys(names, False)
    assert (tmp_path / "mine" / "mine.caffemodel").read_bytes() == WEIGHTS


def test_a_prototxt_is_edited_beside_the_published_one(tmp_path: Path, files: Path) -> None:
    _fetch(catalogue(tmp_path / "conf"), tmp_path, str(files))
    folder = tmp_path / "mine"
    assert (folder / "deploy.prototxt").read_bytes() == TEXT
    changed = TEXT.replace(b"dim: 56", b"dim:  56")
    assert changed != TEXT
    assert (folder / "edited-deploy.prototxt").read_bytes() == changed


def test_a_spoilt_edited_file_is_written_anew(tmp_path: Path, files: Path) -> None:
    conf = catalogue(tmp_path / "conf")
    _fetch(conf, tmp_path, str(files))
    place = tmp_path / "mine" / "edited-deploy.prototxt"
    right = place.read_bytes()
    place.write_bytes(b"")
    _fetch(conf, tmp_path)
    assert place.read_bytes() == right


def test_a_network_of_the_project_needs_nothing(tmp_path: Path) -> None:
    assert files_to_fetch("sample", models()["sample"], tmp_path).files == ()


def test_edits_replace_everything_in_their_order() -> None:
    edits = [
        Edit(pattern="dim: 10", replacement="dim: 1"),
        Edit(pattern=r"layers \{", replacement="layer {"),
    ]
    assert edited("dim: 10 dim: 10 layers { layers {", edits) == "dim: 1 dim: 1 layer { layer {"


def test_mirrors_have_a_file_by_its_network_or_by_itself(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for place in (tmp_path / "f", tmp_path / "mine" / "f"):
        place.write_bytes(b"")
    assert mirror_places(["http://x/y/", str(tmp_path)], "mine", "f") == [
        "http://x/y/mine/f",
        "http://x/y/f",
        tmp_path / "mine" / "f",
        tmp_path / "f",
    ]
    with pytest.raises(ConfigError, match="neither a folder nor a URL"):
        mirror_places([str(tmp_path / "absent")], "mine", "f")


@pytest.mark.parametrize(
    ("names", "every", "words"),
    [
        ((), False, "no network is named"),
        (("sample",), True, "both given"),
        (("sample", "resnet"), False, "no 'resnet' in the catalogue"),
    ],
)
def test_which_networks_is_told(names: tuple[str, ...], every: bool, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        chosen_models(models(), names, every=every)


def test_every_network_may_be_chosen() -> None:
    assert chosen_models(models(), (), every=True) == models()
    assert list(chosen_models(models(), ("vgg16", "sample"), every=False)) == ["vgg16", "sample"]


def test_the_command_fetches_from_a_mirror(
    tmp_path: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = catalogue(tmp_path / "conf")
    options = ["--conf", str(conf), "--out", str(tmp_path), "--mirror", str(files)]
    assert cli.main(["fetch", "mine", "sample", *options]) == 0
    said = capsys.readouterr().out
    assert f"mine: fetched, {tmp_path / 'models' / 'mine' / 'mine.caffemodel'}" in said
    assert "sample: is with its catalogue" in said
    assert cli.main(["fetch", "mine", *options[:4]]) == 0
    assert "mine: was there" in capsys.readouterr().out


def test_the_command_goes_on_after_a_network_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(status(404)).running() as server:
        conf = catalogue(tmp_path / "conf", server.root)
        entry = json.loads((conf / "models.yaml").read_text())["mine"]
        both = {"mine": entry, "other": entry, "last": {**entry, **_local()}}
        (conf / "models.yaml").write_text(json.dumps(both))
        options = ["--conf", str(conf), "--out", str(tmp_path)]
        assert cli.main(["fetch", "mine", "other", "last", *options]) == 2
        said = capsys.readouterr()
        assert "last: is with its catalogue" in said.out
        for name in ("mine", "other"):
            assert str(tmp_path / "models" / name / "deploy.prototxt") in said.err
        assert "404 Not Found" in said.err
        assert entry["prototxt"]["sha384"] in said.err
        assert "Traceback" not in said.err


@pytest.mark.parametrize("verb", ["fetch", "compile", pytest.param("eval", marks=long), "inspect"])
@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("mine.caffemodel", "--model mine --caffemodel {path}"),
        ("deploy.prototxt", "--prototxt {path}"),
    ],
)
def test_a_file_of_ones_own_is_never_replaced(
    tmp_path: Path,
    files: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    verb: str,
    file: str,
    hint: str,
) -> None:
    conf = catalogue(tmp_path / "conf")
    common = ["--conf", str(conf), "--out", str(tmp_path)]
    assert cli.main(["fetch", "mine", *common, "--mirror", str(files)]) == 0
    mine = tmp_path / "models" / "mine" / file
    own = mine.read_bytes() + b"\n"
    mine.write_bytes(own)
    capsys.readouterr()
    named = ["mine"] if verb == "fetch" else ["--model", "mine"]
    if verb == "fetch":
        named += ["--mirror", str(files)]
    if verb == "eval":
        named += ["--dataset", "digits"]
    weights_unread = verb == "inspect" and file == "mine.caffemodel"
    if verb == "eval":  # it starts Prefect, whose settings are those of a process
        command = [sys.executable, "-m", "mlubench", verb, *named, *common]
        server = request.getfixturevalue("prefect_server")  # the other verbs need none
        reports = {**os.environ, "PREFECT_API_URL": server}
        done = subprocess.run(command, env=reports, capture_output=True, text=True, check=False)
        status, said = done.returncode, done.stderr
    else:
        status = cli.main([verb, *named, *common])
        said = capsys.readouterr().err
    assert status == (0 if weights_unread else 2)
    assert weights_unread or hint.format(path=mine) in said
    assert mine.read_bytes() == own


def test_the_hint_works(tmp_path: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = catalogue(tmp_path / "conf")
    common = ["--conf", str(conf), "--out", str(tmp_path)]
    assert cli.main(["fetch", "mine", *common, "--mirror", str(files)]) == 0
    mine = tmp_path / "models" / "mine" / "mine.caffemodel"
    # The same values otherwise written: an unknown field that readers skip.
    mine.write_bytes(WEIGHTS + b"\xf8\x3f\x01")
    assert cli.main(["compile", "--model", "mine", *common]) == 2
    assert f"--caffemodel {mine}" in capsys.readouterr().err
    assert cli.main(["compile", "--model", "mine", "--caffemodel", str(mine), *common]) == 0


@pytest.mark.parametrize("verb", ["eval", "compile"])
def test_what_is_wrong_with_images_is_told_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    conf = catalogue(tmp_path / "conf")  # with a server that does not answer
    absent = str(tmp_path / "absent")
    given = ["--model", "mine", "--conf", str(conf), "--out", str(tmp_path / "out")]
    if verb == "eval":
        given += ["--label_file", absent, "--label_file_order", "2012"]
    assert cli.main([verb, *given, "--image_dir", absent]) == 2
    said = capsys.readouterr().err
    assert f"error: {absent}: " in said
    assert "127.0.0.1" not in said


def test_compile_fetches_what_is_lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(whole(TEXT), whole(WEIGHTS)).running() as server:
        conf = catalogue(tmp_path / "conf", server.root)
        given = ["--model", "mine", "--conf", str(conf), "--out", str(tmp_path / "out")]
        assert cli.main(["compile", *given]) == 0
    assert (tmp_path / "out" / "models" / "mine" / "mine.caffemodel").read_bytes() == WEIGHTS


def test_all_networks_and_names_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fetch", "--all", "sample"]) == 2
    assert "names and --all are both given" in capsys.readouterr().err


def _local() -> dict[str, Any]:
    sample = models()["sample"]
    return {
        "prototxt": {"path": str(sample.prototxt.path)},
        "caffemodel": {"path": str(sample.caffemodel.path)},
    }


def test_a_wrong_mirror_is_an_error_of_the_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["fetch", "vgg16", "--mirror", "nowhere", "--out", str(tmp_path)]) == 2
    assert "--mirror nowhere: is neither a folder nor a URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "second", "followed"), [("http", "https", True), ("https", "http", False)]
)
def test_no_redirect_leaves_encryption(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: str, second: str, followed: bool
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "first":
            return httpx.Response(302, headers={"Location": f"{second}://second/f"})
        return httpx.Response(200, content=iter([WEIGHTS]))

    client = httpx.Client
    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(httpx, "Client", lambda **options: client(transport=transport, **options))
    digest = {"bytes": len(WEIGHTS), "sha384": hashlib.sha384(WEIGHTS).hexdigest()}
    remote = {"urls": [f"{first}://first/f.caffemodel"], **digest}
    conf = catalogue(tmp_path / "conf", caffemodel=remote, prototxt=_local()["prototxt"])
    if followed:
        assert _fetch(conf, tmp_path) == {"f.caffemodel": True}
    else:
        with pytest.raises(NetworkError, match="redirects from https to http://second/f"):
            _fetch(conf, tmp_path)


def test_a_server_may_have_the_networks_in_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(whole(TEXT), status(404), whole(WEIGHTS)).running() as server:
        _fetch(catalogue(tmp_path / "conf"), tmp_path, server.root)
        paths = [path for path, _ in server.asked]
        assert paths == ["/mine/deploy.prototxt", "/mine/mine.caffemodel", "/mine.caffemodel"]
