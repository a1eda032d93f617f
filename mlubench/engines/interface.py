"""The one interface of every engine: build a network, load it on a device, run images.

Standard library and NumPy only, Python 3.7 syntax (see the package's docstring).
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mlubench.engines.measuring import Measured, MeasureSetup
from mlubench.engines.traits import engine_module
from mlubench.errors import ConfigError

#: Called with (first image of the batch, scores float32 [images, classes]); batches may
#: finish in any order and on any thread, but one call at a time.
Consume = Callable[[int, np.ndarray], None]

#: Called with (layer, its output in the reference, its output in the candidate), float32 of one
#: shape, for each layer that both have, in the order of the graph, and that for each image.
ConsumeLayer = Callable[[str, np.ndarray, np.ndarray], None]


@dataclasses.dataclass(frozen=True)
class NetworkFiles:
    """A network as an engine may read it.

    Attributes:
        onnx: as ONNX; always there.
        prototxt: Caffe's text, where the network came as Caffe.
        caffemodel: Caffe's weights, likewise.
    """

    onnx: Path
    prototxt: Optional[Path] = None
    caffemodel: Optional[Path] = None

    def to_json(self) -> Dict[str, Optional[str]]:
        """Return the paths as JSON values."""
        fields = dataclasses.asdict(self)
        return {name: path and str(path) for name, path in fields.items()}

    @staticmethod
    def from_json(fields: Mapping[str, Optional[str]]) -> NetworkFiles:
        """Return the files that :meth:`to_json` named."""
        paths: Dict[str, Any] = {name: path and Path(path) for name, path in fields.items()}
        return NetworkFiles(**paths)


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
        dim_range: the smallest and largest batch of a dynamic network; None is any.
        rgb2bgr: reverse the images' channels inside the network, before means and variances.
        input_layout: ``NHWC`` or ``NCHW``, of the compiled network's input.
        input_dtypes: MagicMind's name of that input's type.
        output_layout: likewise of the scores; empty leaves it as the network has it.
        output_dtypes: MagicMind's name of the scores' type.
        calibration_algo: ``linear`` (minimum and maximum of the activations), ``eqnm`` (the
            range with the least quantisation error); empty is the engine's own.
        weight_quant_granularity: ``per_tensor``, ``per_axis``; empty is the engine's own.
        activation_quant_algo: ``symmetric`` or ``asymmetric``.
        keep_float: layers that are not quantised, by the network's own names, sorted.
        random_calib_range: every activation's range, in place of calibration: for speed only.
        computation_preference: ``auto``, ``fast`` or ``high_precision``.
        type64to32_conversion: narrow the 64-bit values of a network; None says nothing.
        conv_scale_fold: fold scales into convolutions' weights; None says nothing.
        mlu_arch: chips to compile for.
        cluster_num: per chip, the numbers of clusters, joined by commas.
        plugin: libraries of further operations.
        toolchain_path: a cross compiler.
        rpc_server: ``address:port`` of a remote device that calibrates.
        build_config: a JSON object in MagicMind's form that goes over all the above, or empty.
    """

    precision: str
    batch_size: int
    dynamic_shape: bool
    input_size: Tuple[int, int]
    means: Tuple[float, ...]
    variances: Tuple[float, ...]
    dim_range: Optional[Tuple[int, int]] = None
    rgb2bgr: bool = False
    input_layout: str = "NHWC"
    input_dtypes: str = "UINT8"
    output_layout: str = ""
    output_dtypes: str = "FLOAT"
    calibration_algo: str = ""
    weight_quant_granularity: str = ""
    activation_quant_algo: str = "symmetric"
    keep_float: Tuple[str, ...] = ()
    random_calib_range: Optional[Tuple[float, float]] = None
    computation_preference: str = "auto"
    type64to32_conversion: Optional[bool] = None
    conv_scale_fold: Optional[bool] = None
    mlu_arch: Tuple[str, ...] = ()
    cluster_num: Tuple[str, ...] = ()
    plugin: Tuple[str, ...] = ()
    toolchain_path: str = ""
    rpc_server: str = ""
    build_config: str = ""

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


@dataclasses.dataclass(frozen=True)
class Concurrency:
    """How much a session does at once: how fast its answers come hangs on it, the answers do not.

    Attributes:
        streams: inferences that the device runs side by side, on one thread each; 0 is the
            engine's own choice.
        requests: batches in flight; 0 likewise.
    """

    streams: int = 0
    requests: int = 0


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

        Channels are reversed where the spec says so; then means and variances are applied,
        ``(pixel - mean) / sqrt(variance)``, in a fixed order.
        """
        means = np.asarray(spec.means, np.float32)
        deviations = np.sqrt(np.asarray(spec.variances, np.float32))
        for image in self.images:
            if spec.rgb2bgr:
                image = image[:, :, ::-1]
            scaled = (image.astype(np.float32) - means) / deviations
            yield np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


class Session(ABC):
    """A compiled network, loaded on a device.

    Attributes:
        executed_precision: the arithmetic that the device really uses, for example
            ``bfloat16``, whatever was asked for.
        classes: scores per image.
        batch_size: images in a batch; of a dynamic network it may be set.
    """

    executed_precision: str
    classes: int
    batch_size: int

    @abstractmethod
    def run(self, images: np.ndarray, consume: Consume) -> None:
        """Infer uint8 [N, height, width, 3] in batches, several in flight, and wait for all.

        Batches start at multiples of the batch size from the first image, so an image's
        neighbours in its batch do not depend on how many images were given.

        Raises:
            EngineError: the engine reported a failure.
        """

    def close(self) -> None:  # noqa: B027  # most engines need nothing
        """Give back what the device holds of it; it runs nothing more."""


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
        A stand-in for an engine has a key ``simulated``, which every report then names.
        """

    @abstractmethod
    def count_devices(self) -> int:
        """Return how many devices there are.

        Raises:
            EngineError: the engine could not say.
        """

    @abstractmethod
    def use_device(self, device: str) -> str:
        """Bind this process to a device, before anything is loaded; return its description.

        Raises:
            ConfigError: there is no such device.
        """

    def check(self, spec: BuildSpec) -> None:  # noqa: B027  # an engine may have everything
        """Refuse by name what the spec asks for and the engine has not got.

        Raises:
            ConfigError: names the flag and the reason.
        """

    @abstractmethod
    def build(
        self,
        network: NetworkFiles,
        spec: BuildSpec,
        calibration: Optional[Calibration],
        folder: Path,
    ) -> None:
        """Compile a network into files of ``folder``, the same bytes every time.

        Raises:
            ConfigError: the engine has not got what the spec asks for.
            EngineError: the engine failed.
        """

    @abstractmethod
    def load(self, model: Path, concurrency: Concurrency = Concurrency()) -> Session:
        """Load what :meth:`build` wrote on the device of this process.

        Args:
            model: the folder; or, of an engine with a ``model_file``, that file wherever it was
                copied to, with the spec beside it (:func:`description_beside`).
            concurrency: how much the session does at once.

        Raises:
            ConfigError: the device has not got so many streams.
            EngineError: the files cannot be loaded.
        """

    def measure(self, model: Path, setup: MeasureSetup) -> Measured:
        """Load what :meth:`build` wrote on the device of this process, to be measured.

        Args:
            model: as for :meth:`load`.
            setup: how.

        Raises:
            ConfigError: the engine has not got what the set-up asks for.
            EngineError: the files cannot be loaded.
        """
        raise NotImplementedError

    def dump(self, model: Path, inputs: Sequence[np.ndarray], folder: Path) -> List[str]:
        """Run a network once and write every layer's output; return the layers' names.

        Args:
            model: as for :meth:`load`.
            inputs: one array for each input.
            folder: gets a file for each layer.

        Raises:
            EngineError: the engine failed.
        """
        raise NotImplementedError

    def compare_layers(
        self,
        reference: Path,  # noqa: ARG002  # for engines that can
        candidate: Path,
        images: Iterable[np.ndarray],  # noqa: ARG002
        consume: ConsumeLayer,  # noqa: ARG002
    ) -> None:
        """Run two compilations of one network on images and give every layer's two outputs.

        Args:
            reference: as for :meth:`load`.
            candidate: likewise.
            images: uint8 [height, width, 3] each, the network's channel order.
            consume: gets the outputs; the arrays are its own only while it runs.

        Raises:
            ConfigError: the engine does not give layers' outputs.
            EngineError: the engine failed.
        """
        raise ConfigError(
            "the engine gives layers' outputs in a form of its own that is not documented",
            where=str(candidate),
            expected="an engine whose layers can be compared: openvino",
            fix="compare the layers with --engine openvino",
        )


def load_engine(name: str) -> Engine:
    """Return the engine of that name; a dotted name is the module of an engine elsewhere.

    Raises:
        ConfigError: there is no such engine, or what it needs is not installed.
    """
    module = engine_module(name)
    engine: Engine = module.create()
    return engine


def description_beside(model: Path) -> Path:
    """Return where the description of a compiled network that is one file lies: beside it."""
    return model.with_name(model.name + ".json")
