"""Older and other spellings of options, by verb, and what they are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mlubench.speed.mm_run.tool.spellings import OLDER_SPELLINGS

#: MagicMind's samples up to 0.14, and gen_model's own names for what calibrates.
_NETWORK = {
    "quant_mode": "precision",
    "shape_mutable": "dynamic_shape",
    "caffe_model": "caffemodel",
    "calibration_data_path": "calibration_dir",
}
SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "eval": {**_NETWORK, "device_id": "devices"},
    "compile": {
        **_NETWORK,
        "output_model": "magicmind_model",
        "image_dir": "calibration_dir",
        "label_file": "file_list",
    },
    "infer": {},
    "run": dict(OLDER_SPELLINGS),
    "accuracy": {},
}

_NEGATIVE_LIST = re.compile(r"-[0-9.]+,")


def modern(arguments: Sequence[str]) -> list[str]:
    """Return a command line with every older spelling replaced, ``--old x`` and ``--old=x``.

    A value such as ``-1,1`` is joined to its option, for which it would be taken otherwise.
    """
    known = SPELLINGS.get(arguments[0], {}) if arguments else {}
    words: list[str] = []
    for word in arguments:
        if _NEGATIVE_LIST.match(word) and words and re.fullmatch(r"--\w+", words[-1]):
            words[-1] = f"{words[-1]}={word}"
        else:
            words.append(_modern(word, known))
    return words


def as_given(text: str, arguments: Sequence[str]) -> str:
    """Return a message about options by the spellings in which they were given."""
    typed = {word[2:].partition("=")[0] for word in arguments if word.startswith("--")}
    for older, name in (SPELLINGS.get(arguments[0], {}) if arguments else {}).items():
        if older in typed and name not in typed:
            text = re.sub(rf"--{name}\b", f"--{older}", text)
    return text


def _modern(word: str, known: Mapping[str, str]) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{known.get(name, name)}{equals}{value}"
