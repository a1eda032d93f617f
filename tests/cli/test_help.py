"""The help of every verb: quick, and with the samples' own names."""

from __future__ import annotations

import pytest

from tests.support.help_texts import Help, help_texts

#: A verb -> an option of it.
OPTIONS = {
    "compile": "--calibration_algo",
    "infer": "--result_top5_file",
    "accuracy": "--top1andtop5_file",
    "devices": "--json",
    "run": "--host_async",
    "layers": "--batch_size",
}
HEAVY = {"numpy", "cv2", "onnx", "openvino", "pyarrow", "prefect"}


@pytest.fixture(scope="module")
def shown() -> dict[str, Help]:
    """The help of each verb."""
    texts = help_texts([[verb] for verb in OPTIONS])
    return dict(zip(OPTIONS, texts, strict=True))


@pytest.mark.parametrize(("verb", "option"), OPTIONS.items())
def test_the_help_needs_no_heavy_import(shown: dict[str, Help], verb: str, option: str) -> None:
    assert option in shown[verb].text
    assert not HEAVY & shown[verb].modules
