"""From a network's files to MagicMind's own: parse, configure, calibrate, build, serialise."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Optional

from mlubench.engines.interface import BuildSpec, Calibration, NetworkFiles
from mlubench.engines.magicmind.calibration import calibration_data
from mlubench.engines.magicmind.flags import (
    ALGORITHMS,
    DATA_TYPES,
    image_dims,
    normalises,
    settings,
)
from mlubench.engines.magicmind.sdk import PARSER, Checks, load_sdk
from mlubench.engines.precisions import is_quantised
from mlubench.errors import ConfigError, EngineError

_SCORE_AXES = 4


class Builder:
    """Builds one network on one device, in the order of the vendor's samples.

    Args:
        runtime: ``magicmind.python.runtime``.
        checks: of the device.
        spec: what it is compiled for.
    """

    def __init__(self, runtime: ModuleType, checks: Checks, spec: BuildSpec) -> None:
        self._mm = runtime
        self._checks = checks
        self._spec = spec

    def build(self, files: NetworkFiles, calibration: Optional[Calibration], target: Path) -> None:
        """Write the compiled network to a file.

        Raises:
            ConfigError: it is to be calibrated and there are no images.
            EngineError: a call of the SDK failed.
        """
        network = self._parsed(files)
        self._set_input_shape(network)
        self._check_output(network)
        config = self._configured()
        self._calibrate(network, config, calibration)
        self._set_types(network)
        model = self._checks.made(
            self._mm.Builder().build_model("mlubench", network, config), "Builder.build_model"
        )
        self._checks.ok(
            model.serialize_to_file(str(target)), "Model.serialize_to_file", path=target
        )

    def _parsed(self, files: NetworkFiles) -> Any:
        parser_class = load_sdk(PARSER).Parser
        network = self._mm.Network()
        if files.caffemodel is not None and files.prototxt is not None:
            parser = parser_class(self._mm.ModelKind.kCaffe)
            # The weights come first.
            status = parser.parse(network, str(files.caffemodel), str(files.prototxt))
            self._checks.ok(
                status, "Parser.parse", caffemodel=files.caffemodel, prototxt=files.prototxt
            )
        else:
            parser = parser_class(self._mm.ModelKind.kOnnx)
            status = parser.parse(network, str(files.onnx))
            self._checks.ok(status, "Parser.parse", onnx=files.onnx)
        return network

    def _set_input_shape(self, network: Any) -> None:
        """Give the input its batch and size; in the network's original layout, always."""
        count = network.get_input_count()
        if count != 1:
            raise EngineError(
                f"the network has {count} inputs", where=self._checks.device, expected="1, images"
            )
        dims = [self._spec.batch_size, *image_dims(self._spec)]
        status = network.get_input(0).set_dimension(self._mm.Dims(dims))
        self._checks.ok(status, "ITensor.set_dimension", input=0, dims=dims)

    def _check_output(self, network: Any) -> None:
        """Refuse a layout of scores that have none."""
        if not self._spec.output_layout:
            return
        axes = len(network.get_output(0).get_dimension().GetDims())
        if axes != _SCORE_AXES:
            raise ConfigError(
                f"the network's scores have {axes} axes and so no layout",
                where="--output_layout",
                expected="scores [images, classes, 1, 1]",
                fix="leave it out",
            )

    def _configured(self) -> Any:
        config = self._mm.BuilderConfig()
        for flag, value in settings(self._spec):
            status = config.parse_from_string(json.dumps(value))
            self._checks.ok(
                status, "BuilderConfig.parse_from_string", json=json.dumps(value), of=f"--{flag}"
            )
        return config

    def _calibrate(self, network: Any, config: Any, calibration: Optional[Calibration]) -> None:
        """Calibrate in place, with the whole configuration and before anything else is set."""
        spec = self._spec
        if not is_quantised(spec.precision) or spec.random_calib_range is not None:
            return
        if calibration is None or not len(calibration):
            raise ConfigError(
                f"{spec.precision} needs calibration images and has none",
                where="--calibration_dir",
                fix="name a folder of images that are not scored",
            )
        data = calibration_data(self._mm, calibration, spec)
        calibrator = self._mm.Calibrator([data])
        name = ALGORITHMS[spec.calibration_algo]
        algorithm = getattr(self._mm.QuantizationAlgorithm, name)
        status = calibrator.set_quantization_algorithm(algorithm)
        self._checks.ok(status, "Calibrator.set_quantization_algorithm", algorithm=name)
        if spec.rpc_server:
            remote = self._mm.RemoteConfig()
            remote.address = spec.rpc_server
            status = calibrator.set_remote(remote)
            self._checks.ok_or_nothing(status, "Calibrator.set_remote", address=spec.rpc_server)
        status = calibrator.calibrate(network, config)
        self._checks.ok(status, "Calibrator.calibrate", images=len(calibration))

    def _set_types(self, network: Any) -> None:
        """Set the types of input and scores; means inside the network have set the input's."""
        wanted: Dict[str, Any] = {"output": (network.get_output(0), self._spec.output_dtypes)}
        if not normalises(self._spec):
            wanted["input"] = (network.get_input(0), self._spec.input_dtypes)
        for which, (tensor, name) in sorted(wanted.items()):
            data_type = getattr(self._mm.DataType, DATA_TYPES[name])
            status = tensor.set_data_type(data_type)
            self._checks.ok(status, "ITensor.set_data_type", tensor=which, type=name)
