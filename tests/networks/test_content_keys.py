"""What the content keys of imported and compiled networks hold, no more and no less."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mlubench import engines
from mlubench.engines.openvino.engine import instruction_sets
from mlubench.networks import importing
from mlubench.networks.compile import builder_sources

ENGINES = Path(engines.__file__).parent


def _reached(file: Path) -> set[Path]:
    """Return the modules of engines that a module imports, and those that these import."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "mlubench.engines."
            ):
                parts = (node.module or "").split(".")[2:]
                other = ENGINES.joinpath(*parts).with_suffix(".py")
                other = other if other.is_file() else ENGINES.joinpath(*parts, "__init__.py")
                if other not in found:
                    found.add(other)
                    # The interface names what measures and what loads engines, and calls neither.
                    waiting += [other] if other.name != "interface.py" else []
    return found


@pytest.mark.parametrize("engine", ["openvino", "magicmind"])
def test_all_that_builds_is_in_the_key(engine: str) -> None:
    assert _reached(ENGINES / engine / "build.py") <= set(builder_sources(engine))


@pytest.mark.parametrize(
    ("engine", "other"), [("openvino", "magicmind"), ("magicmind", "openvino")]
)
def test_what_does_not_build_is_in_no_key(engine: str, other: str) -> None:
    sources = set(builder_sources(engine))
    assert not sources & set((ENGINES / other).rglob("*.py"))
    assert not {file.name for file in sources} & {"cnmon.py", "measuring.py", "sampler.py"}


@pytest.mark.parametrize("package", ["caffe", "onnx"])
def test_a_change_of_what_imports_imports_again(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = importing._import_parts("1", "2")
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("changed")
    monkeypatch.setattr(getattr(importing, package), "__file__", str(folder / "__init__.py"))
    after = importing._import_parts("1", "2")
    assert {name for name in before if before[name] != after[name]} == {"importer"}


def test_instructions_are_those_that_the_kernel_names(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nflags\t\t: fpu sse2 avx2 fma avx512_fp16 amx_tile amx_bf16 avx_vnni ht\n"
    )
    assert instruction_sets(cpuinfo) == [
        *("amx_bf16", "amx_tile", "avx2", "avx512_fp16", "avx_vnni", "fma"),
    ]
    cpuinfo.write_text("processor : 0\nFeatures : fp asimd asimdhp sve bf16 i8mm\n")
    assert instruction_sets(cpuinfo) == ["asimd", "asimdhp", "bf16", "i8mm", "sve"]
    assert instruction_sets(tmp_path / "absent") == []
