"""A parsed network before it is compiled: Network, ITensor."""

from __future__ import annotations

from magicmind.simulation import graphs
from magicmind.simulation.kinds import DataType, Dims
from magicmind.simulation.ledger import SimulatedSdkLimit, misuse
from magicmind.simulation.status import Status, failure
from magicmind.simulation.strict import need, sdk_call

INPUT_TYPES = (DataType.UINT8, DataType.FLOAT32, DataType.FLOAT16)
OUTPUT_TYPES = (DataType.FLOAT32, DataType.FLOAT16)


class ITensor:
    """An input or an output of a network.

    The network itself makes them.
    """

    def __init__(self, network, name, sizes, data_type, role):
        self._network = network
        self._name = name
        self._graph_sizes = list(sizes)  # as the file has them; -1 is open
        self._sizes = list(sizes)
        self._role = role
        self._data_type = data_type
        self._typed = False

    @sdk_call("ITensor.set_dimension", returns="status")
    def set_dimension(self, dims):
        """Set the shape, before calibration; -1 is dynamic."""
        call = "ITensor.set_dimension"
        need(dims, Dims, call, "dims")
        self._network._expect_open(call)
        if self._role != "input":
            raise misuse(call, "an output has the shape that the network gives", "ignore it")
        if self._network._calibrated is not None:
            raise misuse(
                call,
                "it comes after calibrate; shapes are set before",
                "build with ranges that were found for another shape",
            )
        sizes = dims.GetDims()
        own = self._graph_sizes
        if len(sizes) != len(own) or any(
            wanted not in (-1, size) for size, wanted in zip(sizes[1:], own[1:])
        ):
            return failure(f"{self._name} has {own}; it cannot become {sizes}")
        self._sizes = sizes
        return Status()

    def get_dimension(self):
        """Return the shape."""
        return Dims(self._sizes)

    @sdk_call("ITensor.set_data_type", returns="status")
    def set_data_type(self, data_type):
        """Set the type that the compiled model will have; after calibration, before the build."""
        call = "ITensor.set_data_type"
        need(data_type, DataType, call, "data_type")
        self._network._expect_open(call)
        allowed = INPUT_TYPES if self._role == "input" else OUTPUT_TYPES
        if data_type not in allowed:
            names = ", ".join(one.name for one in allowed)
            raise SimulatedSdkLimit(f"{call}: the simulated SDK has {names} for an {self._role}")
        self._data_type = data_type
        self._typed = True
        return Status()

    def get_data_type(self):
        """Return the type."""
        return self._data_type


class _Node:
    def __init__(self, node):
        self._node = node

    def get_node_name(self):
        return self._node.name

    def get_node_type(self):
        return self._node.op_type

    def get_input_count(self):
        return len(self._node.input)


class Network:
    """An empty network, for a Parser to fill."""

    def __init__(self):
        self._model = None
        self._inputs = self._outputs = ()
        self._calibrated = None  # (config, ranges)
        self._built = False

    def get_input_count(self):
        """Return the number of inputs."""
        return len(self._parsed("Network.get_input_count")._inputs)

    def get_output_count(self):
        """Return the number of outputs."""
        return len(self._parsed("Network.get_output_count")._outputs)

    def get_input(self, index):
        """Return an input."""
        return self._tensor(self._parsed("Network.get_input")._inputs, index, "get_input")

    def get_output(self, index):
        """Return an output."""
        return self._tensor(self._parsed("Network.get_output")._outputs, index, "get_output")

    def get_all_nodes_in_network(self):
        """Return the operations, each with its name, its type and its number of inputs."""
        return [_Node(node) for node in self._parsed("Network")._model.graph.node]

    @sdk_call("Network.mark_output", returns="status")
    def mark_output(self, tensor):
        """Make a tensor an output."""
        need(tensor, ITensor, "Network.mark_output", "tensor")
        self._expect_open("Network.mark_output")
        if tensor._network is not self or tensor._role != "output" or tensor in self._outputs:
            raise SimulatedSdkLimit("the simulated SDK marks only what was unmarked")
        self._outputs = (*self._outputs, tensor)
        return Status()

    @sdk_call("Network.unmark_output", returns="status")
    def unmark_output(self, tensor):
        """Make an output none."""
        need(tensor, ITensor, "Network.unmark_output", "tensor")
        self._expect_open("Network.unmark_output")
        if tensor not in self._outputs:
            return failure("it is no output")
        self._outputs = tuple(one for one in self._outputs if one is not tensor)
        return Status()

    def _tensor(self, tensors, index, call):
        need(index, int, f"Network.{call}", "index")
        if not 0 <= index < len(tensors):
            raise misuse(f"Network.{call}", f"there is no number {index}", "crash")
        return tensors[index]

    def _parsed(self, call):
        if self._model is None:
            raise misuse(call, "nothing was parsed into the network", "answer for an empty one")
        return self

    def _expect_empty(self, call):
        if self._built or self._model is not None:
            when = "was built" if self._built else "holds a parsed network"
            raise misuse(call, f"the network {when} already", "join both networks")

    def _expect_open(self, call):
        if self._built:
            raise misuse(call, "it comes after build_model", "ignore it")

    def _fill(self, model):
        self._model = model
        self._inputs = tuple(
            ITensor(self, name, sizes, DataType.FLOAT32, "input")
            for name, sizes in graphs.shapes(model.graph.input)
        )
        self._outputs = tuple(
            ITensor(self, name, sizes, DataType.FLOAT32, "output")
            for name, sizes in graphs.shapes(model.graph.output)
        )
