"""A compiled network at a path of the user's own: what gen_model writes and infer_cpp reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlubench.engines.interface import BuildSpec, description_beside
from mlubench.errors import ConfigError, in_words
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.store import (
    sha256_file,
    write_json,
)

DESCRIPTION = "compiled.json"


@dataclass(frozen=True)
class OfflineModel:
    """A compiled network at a path of its own, with what it takes to run it on images.

    Attributes:
        path: the engine's one file, or a folder of its files.
        name: of the network.
        engine: the engine's name.
        spec: what it was compiled for.
        preprocess: from a decoded image to its input.
        label_order: how it numbers its classes; None where nobody said.
        simulated: what the engine says where it was a simulated one; else empty.
    """

    path: Path
    name: str
    engine: str
    spec: BuildSpec
    preprocess: Preprocess
    label_order: str | None
    simulated: str = ""

    @property
    def speed_only(self) -> bool:
        """Whether its ranges were made up, so that its answers mean nothing."""
        return self.spec.random_calib_range is not None

    def write(self, description: Path, sha256: str = "") -> None:
        """Write the description of a compiled network.

        Args:
            description: the file.
            sha256: of the network, where it is one file that something else might replace.
        """
        fields = {
            "name": self.name,
            "engine": self.engine,
            "spec": self.spec.to_json(),
            "preprocess": asdict(self.preprocess),
            "label_order": self.label_order,
            "speed_only": self.speed_only,
            "simulated": self.simulated,
            "sha256": sha256,
        }
        write_json(description, fields)


def read_offline_model(path: Path) -> OfflineModel:
    """Return the compiled network at a path.

    Raises:
        ConfigError: it is none.
    """
    where = f"--magicmind_model {path}"
    try:
        fields = json.loads(description_path(path).read_text(encoding="utf-8"))
        model = OfflineModel(
            path=path,
            name=fields["name"],
            engine=fields["engine"],
            spec=BuildSpec.from_json(fields["spec"]),
            preprocess=_preprocess(fields["preprocess"]),
            label_order=fields["label_order"],
            simulated=fields.get("simulated", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"is no compiled network: {in_words(error)}",
            where=where,
            expected="a file or folder that mlubench compile wrote",
            fix="compile the network: mlubench compile --help",
        ) from error
    if path.is_file() and sha256_file(path) != fields.get("sha256"):
        raise ConfigError(
            f"is not the network that {description_path(path).name} describes",
            where=where,
            expected=f"the file that was written with it, SHA-256 {fields.get('sha256')}",
            fix="compile the network again: mlubench compile --help",
        )
    return model


def description_path(path: Path) -> Path:
    """Return the file that describes a compiled network at a path."""
    return description_beside(path) if path.is_file() else path / DESCRIPTION


def _preprocess(fields: dict[str, Any]) -> Preprocess:
    crop = fields["crop"]
    return Preprocess(
        resize=fields["resize"],
        resize_size=fields["resize_size"],
        crop=tuple(crop) if isinstance(crop, list) else crop,
    )
