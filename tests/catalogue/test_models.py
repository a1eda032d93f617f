"""The catalogue of networks: its entries against the reference data, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench.catalogue import ModelEntry, models
from mlubench.catalogue.table import networks_tables, with_tables
from mlubench.engines.precisions import PRECISIONS
from mlubench.errors import ConfigError
from mlubench.networks.caffe.graph import Role, Shape
from mlubench.networks.caffe.importer import build_graph
from mlubench.networks.caffe.layers import LAYER_TYPES
from mlubench.networks.caffe.prototxt import Layer, read_network
from mlubench.networks.fetch.download import Wanted
from mlubench.networks.fetch.files import edited

ROOT = Path(__file__).resolve().parents[2]
#: Where the reference describes a converted network, and the entry that of Caffe.
SCALED = {"shufflenet-v2-x0.5": 255.0**2}
FETCHED = [name for name, entry in models().items() if entry.caffemodel.urls]


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> dict[str, dict[str, Any]]:
    """The reference's networks by the digest of their weights."""
    file = shared_data.parent / "reference" / "caffe_models.json"
    if not file.is_file():
        pytest.skip(f"NO REFERENCE: {file} is absent")
    return {entry["caffemodel"]["sha384"]: entry for entry in json.loads(file.read_bytes())}


def test_every_network_of_the_reference_is_there(reference: dict[str, Any]) -> None:
    assert {entry.caffemodel.sha384 for entry in models().values()} - {None} == set(reference)
    assert len(FETCHED) == len(reference) == 14


@pytest.mark.parametrize("name", FETCHED)
def test_the_entry_says_what_the_reference_says(name: str, reference: dict[str, Any]) -> None:
    entry = models()[name]
    known = reference[str(entry.caffemodel.sha384)]
    for key, file in (("prototxt", entry.prototxt), ("caffemodel", entry.caffemodel)):
        facts = known[key]
        urls = [facts[url] for url in ("url", "original_url") if url in facts]
        assert (list(file.urls), file.bytes, file.sha384) == (urls, facts["bytes"], facts["sha384"])
    assert [1, 3, entry.input_size, entry.input_size] == known["input"]
    assert entry.label_order == known["label_order"]
    edits = [edit.model_dump() for edit in entry.prototxt.edits]
    assert edits == known.get("prototxt_edit_before_use", [])
    figures = {figure.source: figure for figure in entry.published}
    zoo = figures["Open Model Zoo"]
    assert {"top1": zoo.top1, "top5": zoo.top5} == known["reference_fp32"]


@pytest.mark.parametrize("name", FETCHED)
def test_the_preprocessing_is_the_references(name: str, reference: dict[str, Any]) -> None:
    entry = models()[name]
    steps = reference[str(entry.caffemodel.sha384)]["preprocess_used_for_reference"]
    by_type = {step["type"]: step for step in steps}
    normal = by_type.get("normalization", {"mean": "0, 0, 0"})
    assert entry.means == pytest.approx([float(mean) for mean in normal["mean"].split(",")])
    variance = SCALED.get(name, float(normal.get("std", 1)) ** 2)
    assert entry.vars == pytest.approx([variance] * 3)
    resize = by_type["resize"]
    assert entry.resize_size == resize["size"]
    theirs = "short" if resize.get("aspect_ratio_scale") == "greater" else "exact"
    # MagicMind's sample, whose users this entry is for, resizes the short side.
    assert entry.resize == ("short" if name == "senet50" else theirs)
    assert (entry.resize == theirs) or entry.published[0].differs
    assert entry.input_size == by_type["crop"]["size"]
    plain = {"resize", "crop", "normalization"} == set(by_type) and "use_pillow" not in resize
    assert plain or (entry.note and entry.published[0].differs)


def test_prototxts_that_are_at_hand_are_the_catalogues_and_can_be_imported(
    shared_data: Path, tmp_path: Path
) -> None:
    files = [shared_data / "squeezenet_v1.1.prototxt", *(shared_data / "prototxt").iterdir()]
    found = set()
    for name, entry in models().items():
        if entry.prototxt.bytes is None or entry.prototxt.sha384 is None:
            continue
        wanted = Wanted(entry.prototxt.bytes, entry.prototxt.sha384)
        for file in files:
            if wanted.fault(file) is None:
                found.add(name)
                text = tmp_path / f"{name}.prototxt"
                text.write_text(edited(file.read_text(), entry.prototxt.edits))
                _import(text, entry)
    assert found >= {"senet50", "squeezenet_v1_1", "googlenet_bn", "mobilenet-v1-1.0-224"}
    assert len(found) == 9


class _Zeros:
    """Weights that are all zero: a prototxt is imported whatever they are."""

    def take(self, layer: Layer, role: Role, shape: Shape) -> np.ndarray:
        return np.zeros(shape, np.float32)

    def finish(self, layer: Layer) -> None:
        """Nothing is left over."""


def _import(prototxt: Path, entry: ModelEntry) -> None:
    graph = build_graph(read_network(prototxt, LAYER_TYPES), _Zeros()).graph
    sizes = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim[1:]]
    assert sizes == [3, entry.input_size, entry.input_size]


def test_magicminds_figures_are_those_of_the_facts_sheet(shared_data: Path) -> None:
    sheet = shared_data.parent / "reference" / "MAGICMIND_API.md"
    if not sheet.is_file():
        pytest.skip(f"NO REFERENCE: {sheet} is absent")
    section = sheet.read_text(encoding="utf-8").split("### 6.4")[1].split("### 6.5")[0]
    found = 0
    for line in section.splitlines():
        name, *cells = line.lstrip("| ").split("|")
        if "(Caffe)" not in name or name.split()[0] not in models():
            continue
        for figure in models()[name.split()[0]].published:
            if not re.match("MagicMind[ ,]", figure.source):
                continue
            numbers = re.findall(r"\d+\.\d+", cells[PRECISIONS.index(figure.precision)])
            told = numbers[2:] if figure.source.endswith("infer_cpp") else numbers[:2]
            scale = 1 if float(told[0]) < 1 else 100
            assert [float(number) / scale for number in told] == pytest.approx(
                [figure.top1, figure.top5], abs=1e-9
            )
            found += 1
    assert found == 21


def test_the_page_of_the_networks_is_up_to_date() -> None:
    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    again = "python -m mlubench.catalogue.table docs/networks.md"
    assert page == with_tables(page, networks_tables(models())), f"run: {again}"


FILES = {"prototxt": {"path": "a.prototxt"}, "caffemodel": {"path": "a.caffemodel"}}
DIGEST = "0" * 96
ENTRY = {
    "description": "a network",
    **FILES,
    "input_size": 224,
    "means": [1, 2, 3],
    "vars": [1, 1, 1],
    "resize": "short",
    "resize_size": 256,
    "label_order": 2012,
}


def _with(folder: Path, **changes: object) -> ModelEntry:
    entry = {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
    (folder / "models.yaml").write_text(json.dumps({"mine": entry}))
    return models([folder])["mine"]


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    entry = _with(tmp_path)
    assert entry.prototxt.place(tmp_path / "models") == tmp_path / "a.prototxt"
    assert entry.published == ()


def test_a_file_that_is_fetched_lies_in_the_networks_folder(tmp_path: Path) -> None:
    remote = {"urls": ["https://example.org/x/b.prototxt"], "bytes": 1, "sha384": DIGEST}
    edits = [{"pattern": "dim: 10", "replacement": "dim: 1"}]
    plain = _with(tmp_path, prototxt=remote).prototxt
    changed = _with(tmp_path, prototxt={**remote, "edits": edits}).prototxt
    assert plain.used_place(tmp_path) == plain.place(tmp_path) == tmp_path / "b.prototxt"
    assert changed.place(tmp_path) == tmp_path / "b.prototxt"
    assert changed.used_place(tmp_path) == tmp_path / "edited-b.prototxt"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "mine.colour"),
        ({"input_size": None}, "mine.input_size"),
        ({"label_order": 2013}, "mine.label_order"),
        ({"prototxt": "a.prototxt"}, "mine.prototxt"),
        ({"prototxt": {}}, "needs path, or bytes and sha384"),
        ({"prototxt": {"path": "a", "sha384": DIGEST}}, "path stands alone"),
        ({"caffemodel": {"bytes": 1, "sha384": DIGEST}}, "needs urls, or file"),
        ({"caffemodel": {"bytes": 1, "sha384": DIGEST, "file": "../a", "fix": "x"}}, "file"),
        ({"caffemodel": {"bytes": 1, "sha384": "abc", "urls": ["http://x/y"]}}, "sha384"),
        ({"caffemodel": {"bytes": 0, "sha384": DIGEST, "urls": ["http://x/y"]}}, "bytes"),
        ({"caffemodel": {"bytes": 1, "sha384": DIGEST, "urls": ["file:///x/y"]}}, "urls.0"),
        ({"caffemodel": {"bytes": 1, "sha384": DIGEST, "urls": ["http://x/"]}}, "urls.0"),
        ({"caffemodel": {"bytes": 1, "sha384": DIGEST, "urls": ["http://x/.."]}}, "urls.0"),
        ({"caffemodel": {"path": "a", "edits": []}}, "edits"),
        ({"prototxt": {"path": "a", "edits": [{"pattern": "(", "replacement": ""}]}}, "pattern"),
        ({"published": [{"source": "x", "precision": "int4", "top1": 0, "top5": 0}]}, "precision"),
        (
            {"published": [{"source": "x", "precision": "force_float32", "top1": 77, "top5": 0}]},
            "top1",
        ),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _with(tmp_path, **changes)
    assert words in str(caught.value)
    assert str(tmp_path / "models.yaml") in str(caught.value)
