"""Reads a framework's files into a Network."""

from __future__ import annotations

from pathlib import Path

from magicmind.simulation import graphs
from magicmind.simulation.kinds import DataType, ModelKind
from magicmind.simulation.ledger import SimulatedSdkLimit, misuse
from magicmind.simulation.network import Network
from magicmind.simulation.status import Status, failure
from magicmind.simulation.strict import need, sdk_call

_FILES = {ModelKind.kOnnx: ("onnx",), ModelKind.kCaffe: ("caffemodel", "prototxt")}
_PARAMETERS = {ModelKind.kOnnx: ("onnx-input-dtypes",), ModelKind.kCaffe: ()}


class Parser:
    """A parser of one framework's networks."""

    def __init__(self, kind):
        self._kind = need(kind, ModelKind, "Parser", "the kind")
        if kind not in _FILES:
            raise SimulatedSdkLimit(f"the simulated SDK parses no {kind.name} networks")
        self._parsed = False

    @sdk_call("Parser.set_model_param", returns="status")
    def set_model_param(self, key, value):
        """Set what the framework's files do not say; before :meth:`parse`."""
        call = "Parser.set_model_param"
        need(key, str, call, "key")
        if self._parsed:
            raise misuse(call, "it comes after parse", "ignore it")
        if key not in _PARAMETERS[self._kind]:
            raise misuse(call, f"{self._kind.name} has no parameter {key!r}", "ignore it")
        for one in need(value, list, call, "value"):
            need(one, DataType, call, "a type")
        return Status()

    @sdk_call("Parser.parse", returns="status")
    def parse(self, network, *files):
        """Read a network: of ONNX its file; of Caffe the weights first, the prototxt second."""
        call = "Parser.parse"
        need(network, Network, call, "network")
        wanted = _FILES[self._kind]
        if len(files) != len(wanted):
            raise misuse(
                call, f"{self._kind.name} takes the files {', '.join(wanted)}", "raise a TypeError"
            )
        for name, file in zip(wanted, files):
            need(file, str, call, name)
        network._expect_empty(call)
        missing = [file for file in files if not Path(file).is_file()]
        if missing:
            return failure(f"no such file: {missing[0]}")
        self._parsed = True
        try:
            model = graphs.read_network(self._kind, files)
        except graphs.UnreadableError as error:
            return failure(str(error))
        network._fill(model)
        return Status()
