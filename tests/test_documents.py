"""The documents against what they speak of: layers, files, verbs, published figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlubench import catalogue, cli
from mlubench.networks.caffe.layers import LAYER_TYPES
from mlubench.speed.mm_run.options import RunParameters
from tests.conftest import LONGEST

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "conf/**/*.md", "artifacts/*.md")
    for path in ROOT.glob(pattern)
)
#: Verbs that documents speak of and that are not there yet.
LATER: set[str] = set()
READMES = ("README.md", "README.zh-CN.md")

_LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
#: Absolute paths of one machine; ~ and $HOME are everybody's.
_MACHINES = re.compile(r"(?<![\w.~}$])/(?:work|home|root|Users|mnt|media|srv|mm_ws)/")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    """Return a document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _section_shapes(text: str) -> list[tuple[int, list[int]]]:
    """Return of each section its heading's level and the columns of each row of its tables."""
    shapes: list[tuple[int, list[int]]] = []
    for line in _prose(text).splitlines():
        if line.startswith("#"):
            shapes.append((len(line.split(" ")[0]), []))
        elif line.startswith("|"):
            shapes[-1][1].append(line.count("|"))
    return shapes


def test_every_document_is_looked_at() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert {*READMES, "CONTRIBUTING.md", "CHANGELOG.md", "docs/importer.md"} <= names


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in _LINK.findall(_prose(path.read_text(encoding="utf-8"))):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_document_names_a_path_of_one_machine(path: Path) -> None:
    assert not _MACHINES.search(path.read_text(encoding="utf-8"))


def test_paths_of_one_machine_are_recognised() -> None:
    assert _MACHINES.search("see `/home/somebody/x`")
    assert not _MACHINES.search("conf/mnt/x, $HOME/mnt/x, ~/mnt/x")


def test_the_importers_table_has_every_layer() -> None:
    table = _text("docs/importer.md").split("## Layer by layer")[1].split("\n## ")[0]
    layers = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(layers) == sorted(LAYER_TYPES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_verbs_are_there_or_said_to_come(path: Path) -> None:
    named = re.findall(r"(?:^|[`/ ])mlubench ([a-z]+)\b(?!:)", _commands_of(path), re.MULTILINE)
    assert set(named) <= {*cli._VERBS, *LATER}


def _commands_of(path: Path) -> str:
    """Return what a document shows as code, within lines and in blocks."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    shown = [block for language, block in blocks if language in ("", "bash")]
    return "\n".join([*shown, *re.findall(r"`[^`\n]+`", _prose(text))])


def test_verbs_that_are_there_are_not_said_to_come() -> None:
    assert not LATER & set(cli._VERBS)
    for name in READMES:
        assert all(f"`mlubench {verb}" in _text(name) for verb in LATER)


def test_the_readmes_tell_of_every_verb() -> None:
    for name in READMES:
        assert all(f"mlubench {verb}" in _text(name) for verb in cli._VERBS)


def test_both_readmes_have_the_same_sections_and_tables() -> None:
    english, chinese = (_section_shapes(_text(name)) for name in READMES)
    assert english == chinese
    for own, other in (READMES, READMES[::-1]):
        assert f"]({other})" in "\n".join(_text(own).splitlines()[:3])


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize("model", ["senet50", "squeezenet_v1_1"])
def test_published_figures_are_the_catalogues(model: str, readme: str) -> None:
    published = catalogue.models()[model].published
    assert published
    for figures in published:
        assert f"{100 * figures.top1:.3f} / {100 * figures.top5:.3f}" in _text(readme)


@pytest.mark.parametrize("readme", READMES)
def test_nothing_of_the_samples_own_readme_is_left_out(readme: str, shared_data: Path) -> None:
    """Its scripts, its parameters, mm_run's options and its figures."""
    sample = shared_data.parent / "reference" / "SEED_senet50_caffe.md"
    if not sample.is_file():
        pytest.skip(f"NO REAL DATA: {sample} is absent")
    text = sample.read_text(encoding="utf-8")
    wanted = {
        *re.findall(r"^- `(\w+)`:", text, re.MULTILINE),
        *re.findall(r"^ +(--\w+)", text, re.MULTILINE),
        *re.findall(r"\w+\.(?:sh|py)\b", text),
        *re.findall(r"\| +(\d{3,}\.\d+) +\|", text),
        "docker load",
        "docker run",
        "git clone",
        "source env.sh",
    }
    assert len(wanted) > 50
    ours = _text(readme)
    assert not {name for name in wanted if name not in ours}


def test_every_option_of_run_is_explained_once() -> None:
    text = _text("docs/benchmarking.md").split("## Options of mlubench run")[1]
    rows = re.findall(r"^\| (`--[^|]+) \|", text.split("\n## ")[0], re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"--(\w+)", row)]
    options = {*RunParameters.model_fields, "batch", "json", "table"}
    of_scenarios = {"samples_per_query", "latency_bound", "percentile", "target_qps"}
    assert sorted(told) == sorted(options - of_scenarios - {"conf"})
    scenarios = text.split("## Scenarios")[1].split("\n## ")[0]
    assert all(f"--{name}" in scenarios for name in of_scenarios)


def test_contributing_names_what_is_there() -> None:
    named = re.findall(
        r"`((?:mlubench|flows|tasks|tests|conf|docs)/[\w./*<>-]*)`", _text("CONTRIBUTING.md")
    )
    assert len(named) > 30
    for name in named:
        assert list(ROOT.glob(re.sub(r"<\w+>", "*", name).rstrip("/"))), name


def test_the_files_that_are_begun_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []
