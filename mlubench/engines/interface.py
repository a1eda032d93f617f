"""The one interface of every engine: build a network, load it on a device, run images.

Standard library and NumPy only, Python 3.7 syntax (see the package's docstring).
"""

from __future__ import annotations

import dataclasses
import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np

from mlubench.errors import ConfigError

#: Called with (first image of the batch, scores float32 [images, classes]); batches may
#: finish in any order and on any thread, but one call at a time.
Consume = Callable[[int, np.ndarray], None]


@dataclasses.dataclass(frozen=True)
class BuildSpec:
    """How a network is compiled; every field is part of the compiled model's content key.

    Attributes:
        precision: one of :data:`~mlubench.engines.precisions.PRECISIONS`.
        batch_size: images in a batch; of a dynamic network only the one it is run with.
        dynamic_shape: whether the compiled network takes batches of any size.
        input_size: (height, width) of the network's input, in pixels.
        means: per channel, in the network's channel order, subtracted from the pixels.
        variances: per channel; pixels are divided by their square root, as MagicMind's
            ``insert_bn_before_firstnode`` does.
        calibration_algo: ``linear`` (minimum and maximum of the activations).
    """

    precision: str
    batch_size: int
    dynamic_shape: bool
    input_size: Tuple[int, int]
    means: Tuple[float, ...]
    variances: Tuple[float, ...]
    calibration_algo: str = "linear"

    def to_json(self) -> Dict[str, Any]:
        """Return the fields as JSON values (tuples become lists)."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> BuildSpec:
        """Return the spec that :meth:`to_json` wrote."""
        values: Dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return BuildSpec(**values)


class Calibration:
    """The calibration images, decoded as the scored ones are.

    Args:
        images: uint8 [N, height, width, 3], the network's channel order.
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def normalised(self, spec: BuildSpec) -> Iterator[np.ndarray]:
        """Yield each image as the network's original input: float32 [1, 3, height, width].

        Means and variances are applied, ``(pixel - mean) / sqrt(variance)``, in a fixed order.
        """
        means = np.asarray(spec.means, np.float32)
        deviations = np.sqrt(np.asarray(spec.variances, np.float32))
        for image in self.images:
            scaled = (image.astype(np.float32) - means) / deviations
            yield np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


class Session(ABC):
    """A compiled network, loaded on a device.

    Attributes:
        executed_precision: the arithmetic that the device really uses, for example
            ``bfloat16``, whatever was asked for.
        classes: scores per image.
    """

    executed_precision: str
    classes: int

    @abstractmethod
    def run(self, images: np.ndarray, consume: Consume) -> None:
        """Infer uint8 [N, height, width, 3] in batches, several in flight, and wait for all.

        Batches start at multiples of the batch size from the first image, so an image's
        neighbours in its batch do not depend on how many images were given.

        Raises:
            EngineError: the engine reported a failure.
        """


class Engine(ABC):
    """Compiles networks and loads them on devices.

    Attributes:
        precisions: those of :data:`~mlubench.engines.precisions.PRECISIONS` that it has.
    """

    precisions: Tuple[str, ...]

    @abstractmethod
    def describe(self) -> Dict[str, str]:
        """Return everything about the installed engine that affects what it builds.

        The key ``version`` is always there; the rest (further packages, arithmetic of the
        host) is the engine's own. All of it goes into the compiled models' content keys.
        """

    @abstractmethod
    def use_device(self, device: str) -> str:
        """Bind this process to a device, before anything is loaded; return its description.

        Raises:
            ConfigError: there is no such device.
        """

    @abstractmethod
    def build(
        self, network: Path, spec: BuildSpec, calibration: Optional[Calibration], folder: Path
    ) -> None:
        """Compile an ONNX network into files of ``folder``, the same bytes every time.

        Raises:
            ConfigError: the engine has not got what the spec asks for.
            EngineError: the engine failed.
        """

    @abstractmethod
    def load(self, folder: Path) -> Session:
        """Load what :meth:`build` wrote on the device of this process.

        Raises:
            EngineError: the files cannot be loaded.
        """


def load_engine(name: str) -> Engine:
    """Return the engine of that name; a dotted name is the module of an engine elsewhere.

    Raises:
        ConfigError: there is no such engine.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise _no_engine(name)
    module_name = name if "." in name else f"{__package__}.{name}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise _no_engine(name) from error
    if not hasattr(module, "create"):
        raise _no_engine(name)
    engine: Engine = module.create()
    return engine


def _no_engine(name: str) -> ConfigError:
    return ConfigError(
        f"there is no engine named {name!r}",
        where="--engine",
        expected="openvino",
        fix="name an engine of mlubench/engines",
    )
