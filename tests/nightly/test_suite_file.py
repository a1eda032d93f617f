"""Suites: what the project's own have in them, how matrices spread, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlubench.errors import ConfigError
from mlubench.nightly.suite_file import find_suite, read_suite_file, suite_files

HEAD = "description: a suite\n"


def _write(folder: Path, text: str, name: str = "mine") -> Path:
    (folder / "suites").mkdir(exist_ok=True)
    path = folder / "suites" / f"{name}.yaml"
    path.write_text(text)
    return path


def test_the_projects_own_suites() -> None:
    assert set(suite_files()) == {"smoke", "seed", "nightly"}


@pytest.mark.parametrize("name", sorted(suite_files()))
def test_a_suite_begins_with_what_it_is_for(name: str) -> None:
    """Whoever opens the file first reads prose."""
    text = suite_files()[name].read_text(encoding="utf-8")
    head = text.split("description:")[0]
    assert len([line for line in head.splitlines() if line.startswith("# ")]) >= 2


def test_another_folders_suite_goes_over_the_projects_own(tmp_path: Path) -> None:
    path = _write(tmp_path, HEAD, "smoke")
    assert find_suite("smoke", [tmp_path]) == path
    assert find_suite("seed", [tmp_path]) == suite_files()["seed"]
    assert find_suite(str(path)) == path


@pytest.mark.parametrize("name", ["smokey", "../smoke", "absent.yaml"])
def test_a_suite_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_suite(name)
    assert name in str(caught.value)


def test_a_matrix_is_every_combination_in_the_files_order(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        HEAD
        + """
gates: {a: 1, b: 2}
evaluations:
  - matrix: {model: [x, y], batch_size: [1, 8]}
    gates: {b: 3}
    dataset: d
benchmarks:
  - model: x
""",
    )
    _, planned = read_suite_file(path)
    assert [(one.key, one.kind, dict(one.options)) for one in planned] == [
        ("evaluations.0", "evaluation", {"dataset": "d", "model": "x", "batch_size": 1}),
        ("evaluations.0", "evaluation", {"dataset": "d", "model": "x", "batch_size": 8}),
        ("evaluations.0", "evaluation", {"dataset": "d", "model": "y", "batch_size": 1}),
        ("evaluations.0", "evaluation", {"dataset": "d", "model": "y", "batch_size": 8}),
        ("benchmarks.0", "benchmark", {"model": "x"}),
    ]
    assert planned[1].varied == {"model": "x", "batch_size": 8}
    assert planned[0].gates == {"a": 1, "b": 3}
    assert planned[4].gates == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("evaluations: [{model: x}]\n", "description"),
        (HEAD, "names nothing to run"),
        (HEAD + "evaluatoins: [{model: x}]\n", "evaluatoins"),
        (HEAD + "evaluations: {model: x}\n", "evaluations"),
        (HEAD + "evaluations: [{matrix: {model: []}}]\n", "evaluations.0.matrix.model"),
        (HEAD + "evaluations: [{matrix: {model: x}}]\n", "evaluations.0.matrix.model"),
        (HEAD + "evaluations: [{model: x, matrix: {model: [y]}}]\n", "model is given twice"),
        (HEAD + "evaluations: [{skip_without: [luck]}]\n", "evaluations.0.skip_without.0"),
        (HEAD + "evaluations: [{name: 7}]\n", "evaluations.0.name"),
        ("- 1\n", "the file"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_suite_file(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_matrix_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Forty options of two values each would be 2 to the power of 40 runs."""
    options = ", ".join(f"option{number}: [1, 2]" for number in range(40))
    path = _write(tmp_path, HEAD + f"evaluations:\n  - matrix: {{{options}}}\n")
    with pytest.raises(ConfigError, match="there would be 1099511627776 runs") as caught:
        read_suite_file(path)
    assert "evaluations.0.matrix" in caught.value.where


@pytest.mark.parametrize(("digits", "most"), [(16, "63 bits"), (5000, "128 digits")])
def test_a_number_of_many_digits_is_told(tmp_path: Path, digits: int, most: str) -> None:
    """Python shows no number of more than 4300 digits."""
    path = _write(tmp_path, HEAD + "explain: 0x" + "f" * digits + "\n")
    with pytest.raises(ConfigError, match=f"a number of more than {most}"):
        read_suite_file(path)
