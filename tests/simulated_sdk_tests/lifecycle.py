"""The documented ways from files to a model and from images to scores, as samples go them."""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.networks import SIDE

MEANS = (104.0, 117.0, 123.0)
VARIANCES = (3460.0, 3400.0, 3300.0)


@dataclasses.dataclass
class Plan:
    """What is built, and how."""

    files: tuple[Path, ...]
    kind: str = "kOnnx"
    side: int = SIDE
    batch: int = 4
    precision: str = "force_float32"
    dynamic: bool = False
    means: Sequence[float] = MEANS
    variances: Sequence[float] = VARIANCES
    layout: bool = True
    bn: bool = True
    algorithm: str = "LINEAR_ALGORITHM"
    samples: Sequence[np.ndarray] = ()
    more: Sequence[dict[str, Any]] = ()  # further pieces of configuration

    @property
    def shape(self) -> list[int]:
        return [self.batch, 3, self.side, self.side]


def calibration_data(mm: Any, samples: Sequence[np.ndarray]) -> Any:
    """Return the samples by the documented protocol."""

    class Data(mm.CalibDataInterface):
        def __init__(self) -> None:
            super().__init__()
            self.next_index = 0
            self.resets = 0

        def next(self) -> Any:
            if self.next_index >= len(samples):
                return mm.Status(mm.Code.OUT_OF_RANGE, "no more samples")
            self.current = samples[self.next_index]
            self.next_index += 1
            return mm.Status.OK()

        def get_shape(self) -> Any:
            return mm.Dims(self.current.shape)

        def get_data_type(self) -> Any:
            from magicmind.python.common.types import get_datatype_by_numpy

            return get_datatype_by_numpy(self.current.dtype)

        def get_sample(self) -> np.ndarray:
            return np.ascontiguousarray(self.current)

        def reset(self) -> Any:
            self.next_index = 0
            self.resets += 1
            return mm.Status.OK()

    return Data()


def normalised(plan: Plan, images: np.ndarray) -> np.ndarray:
    """Return the network's original input of pixels: float32 NCHW."""
    pixels = (images - np.array(plan.means)) / np.sqrt(np.array(plan.variances))
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32))


def calibrated(plan: Plan, images: np.ndarray, **changes: Any) -> Plan:
    """Return the plan with two batches of the images to calibrate on."""
    samples = [normalised(plan, images[first : first + plan.batch]) for first in (0, plan.batch)]
    return dataclasses.replace(plan, samples=samples, **changes)


def parse(mm: Any, plan: Plan) -> Any:
    from magicmind.python.runtime.parser import Parser

    network = mm.Network()
    parser = Parser(getattr(mm.ModelKind, plan.kind))
    status = parser.parse(network, *map(str, plan.files))
    assert status.ok(), str(status)
    return network


def configure(mm: Any, plan: Plan) -> Any:
    config = mm.BuilderConfig()
    config.mlu_archs = ["mtp_372"]
    pieces: list[dict[str, Any]] = [
        {"precision_config": {"precision_mode": plan.precision}},
        {"archs": [{"mtp_372": [6, 8]}]},
        {"graph_shape_mutable": plan.dynamic},
        {"opt_config": {"type64to32_conversion": True, "conv_scale_fold": True}},
    ]
    if plan.bn:
        bn = {"mean": list(plan.means), "var": list(plan.variances)}
        pieces.append({"insert_bn_before_firstnode": {"0": bn}})
    if plan.layout:
        pieces.append({"convert_input_layout": {"0": {"src": "NCHW", "dst": "NHWC"}}})
    if plan.dynamic:
        rest = plan.shape[1:]
        pieces.append({"dim_range": {"0": {"min": [1, *rest], "max": [16, *rest]}}})
    for piece in [*pieces, *plan.more]:
        status = config.parse_from_string(json.dumps(piece))
        assert status.ok(), str(status)
    return config


def set_shape(mm: Any, network: Any, plan: Plan) -> None:
    for index in range(network.get_input_count()):
        dims = network.get_input(index).get_dimension().GetDims()
        dims[0] = plan.batch
        status = network.get_input(index).set_dimension(mm.Dims(dims))
        assert status.ok(), str(status)


def prepared(mm: Any, plan: Plan) -> tuple[Any, Any]:
    """Return a network and its configuration, before calibration and build."""
    network = parse(mm, plan)
    set_shape(mm, network, plan)
    return network, configure(mm, plan)


def activate(mm: Any, number: int = 0) -> Any:
    with mm.System() as system:
        assert number < system.device_count()
        device = mm.Device()
        device.id = number
        status = device.active()
        assert status.ok(), str(status)
    return device


def calibrate(mm: Any, network: Any, config: Any, plan: Plan) -> None:
    activate(mm)
    calibrator = mm.Calibrator([calibration_data(mm, plan.samples)])
    algorithm = getattr(mm.QuantizationAlgorithm, plan.algorithm)
    status = calibrator.set_quantization_algorithm(algorithm)
    assert status.ok(), str(status)
    status = calibrator.calibrate(network, config)
    assert status.ok(), str(status)


def build(mm: Any, plan: Plan, path: Path) -> Any:
    """Build a model, write it to a file and return it: the lifecycle of gen_model.py."""
    network, config = prepared(mm, plan)
    if plan.samples:
        calibrate(mm, network, config, plan)
    model = mm.Builder().build_model("magicmind_model", network, config)
    assert isinstance(model, mm.Model)
    status = model.serialize_to_file(str(path))
    assert status.ok(), str(status)
    return model


class Runner:
    """Loads a model on a card and runs it: the lifecycle of infer.py."""

    def __init__(self, mm: Any, path: Path, number: int = 0) -> None:
        self.model = mm.Model()
        status = self.model.deserialize_from_file(str(path))
        assert status.ok(), str(status)
        self.device = activate(mm, number)
        config = mm.Model.EngineConfig()
        config.device_type = "MLU"
        self.engine = self.model.create_i_engine(config)
        assert self.engine is not None
        self.context = self.engine.create_i_context()
        assert self.context is not None
        self.queue = self.device.create_queue()
        assert self.queue is not None
        self.inputs = self.context.create_inputs()
        assert isinstance(self.inputs, list)

    def fill(self, images: np.ndarray) -> None:
        status = self.inputs[0].from_numpy(images)
        assert status.ok(), str(status)
        status = self.inputs[0].to(self.device)
        assert status.ok(), str(status)

    def enqueue(self, outputs: list[Any]) -> None:
        status = self.context.enqueue(self.inputs, outputs, self.queue)
        assert status.ok(), str(status)

    def sync(self) -> None:
        status = self.queue.sync()
        assert status.ok(), str(status)

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return the scores [N, classes] of a batch."""
        self.fill(images)
        outputs: list[Any] = []
        self.enqueue(outputs)
        self.sync()
        scores = outputs[0].asnumpy()
        return np.array(scores).reshape(len(scores), -1)

    def close(self) -> None:
        """Give all back, in the documented order."""
        for name in ("inputs", "context", "engine", "model", "queue", "device"):
            delattr(self, name)
        gc.collect()
