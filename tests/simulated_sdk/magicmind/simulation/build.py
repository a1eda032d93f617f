"""Compiles a network: Builder."""

from __future__ import annotations

from magicmind.simulation import graphs, offline, quantise
from magicmind.simulation.config import BuilderConfig
from magicmind.simulation.kinds import DataType
from magicmind.simulation.ledger import SimulatedSdkLimit, misuse
from magicmind.simulation.model import Model
from magicmind.simulation.network import Network
from magicmind.simulation.strict import need, sdk_call

_CALL = "Builder.build_model"


class Builder:
    """Builds models."""

    @sdk_call("Builder.build_model", returns="object")
    def build_model(self, name, network, config):
        """Return the Model, or None where it cannot be built."""
        need(name, str, _CALL, "name")
        need(network, Network, _CALL, "network")
        need(config, BuilderConfig, _CALL, "config")
        network._parsed(_CALL)
        network._expect_open(_CALL)
        ranges = _ranges(network, config)
        plans = [_InputPlan(index, network, config) for index in range(len(network._inputs))]
        _check_numbers(network, config)
        config._freeze(_CALL)
        network._built = True
        graph = _compile(network, config, ranges, plans)
        meta = _describe(network, config, plans, graph)
        if meta is None:
            return None
        model = Model()
        model._set(meta, graphs.to_bytes(graph))
        return model


def _ranges(network, config):
    """Return the activations' ranges, or None where nothing is quantised."""
    if not config._quantised(_CALL):
        return None
    custom = config._get("custom_ranges")
    if custom is not None:
        bounds = (float(custom[""]["min"][0]), float(custom[""]["max"][0]))
        return dict.fromkeys(quantise.activations(network._model), bounds)
    if network._calibrated is None:
        raise misuse(
            _CALL,
            "the precision is quantised, but the network was not calibrated and there are no "
            "custom_ranges",
            "build a model whose scores mean nothing",
        )
    calibrated_with, ranges = network._calibrated
    if calibrated_with is not config:
        raise misuse(
            _CALL,
            "the config is another than the network was calibrated with",
            "fold or fuse in another way than the ranges are for",
        )
    return ranges


class _InputPlan:
    """What becomes of an input: sizes, type, layout, normalisation, range of its sizes."""

    def __init__(self, index, network, config):
        tensor = network._inputs[index]
        number = str(index)
        self.sizes = tensor._sizes
        self.mutable = _mutable(config)
        self.layout = _layout(config, "convert_input_layout", number, len(self.sizes))
        self.normalisation = _normalisation(config, number, self.sizes)
        self.data_type = tensor._data_type
        if self.normalisation is not None:
            if tensor._typed and tensor._data_type is not DataType.UINT8:
                raise misuse(
                    _CALL,
                    f"input {index} was set to {tensor._data_type.name}, but "
                    "insert_bn_before_firstnode makes it UINT8",
                    "override the type without a word",
                )
            self.data_type = DataType.UINT8
        self.ranges = self._ranges(config, number)
        if any(low != high for low, high in self.ranges[1:]):
            raise SimulatedSdkLimit("in the simulated SDK only the batch is dynamic")

    def _ranges(self, config, number):
        """Return (low, high) per axis in the original layout."""
        given = config._get("dim_range")
        if given is not None and not self.mutable:
            raise misuse(_CALL, "dim_range goes with graph_shape_mutable true only", "ignore it")
        if not self.mutable:
            if -1 in self.sizes:
                raise misuse(
                    _CALL,
                    f"a static model needs a fixed shape, this is {self.sizes}",
                    "fail, or take any size",
                )
            return [(size, size) for size in self.sizes]
        open_axes = [axis == 0 or size == -1 for axis, size in enumerate(self.sizes)]
        if given is None:
            return [
                (1, offline.ANY) if is_open else (size, size)
                for is_open, size in zip(open_axes, self.sizes)
            ]
        bounds = given.get(number)
        if bounds is None or not len(bounds["min"]) == len(bounds["max"]) == len(self.sizes):
            raise misuse(
                _CALL,
                f"dim_range has not {len(self.sizes)} sizes for input {number}",
                "ignore it",
            )
        pairs = list(zip(bounds["min"], bounds["max"]))
        for (low, high), size in zip(pairs, self.sizes):
            if low > high or (size != -1 and not low <= size <= high):
                raise misuse(
                    _CALL,
                    f"dim_range {pairs} does not hold the original shape {self.sizes}; it is "
                    "in the network's original layout",
                    "fail when the model runs",
                )
        return pairs

    def reordered(self, values):
        """Return values per axis in the layout of the compiled model."""
        order = range(len(values)) if self.layout is None else graphs.permutation(self.layout)
        return [values[axis] for axis in order]


def _mutable(config):
    value = config._get("graph_shape_mutable")
    if value is None:
        raise misuse(
            _CALL, "graph_shape_mutable is not set", "take a default that is not documented"
        )
    return value


def _layout(config, key, number, rank):
    pair = config._get(key, {}).get(number)
    if pair is None:
        return None
    layout = (pair["src"], pair["dst"])
    if len(layout[0]) != rank:
        raise misuse(_CALL, f"{key} {layout} is for another number of axes than {rank}", "fail")
    if layout[0][1] != "C":
        raise misuse(
            _CALL, f"{key} {layout}: the network's own layout is not {layout[0]}", "mix up the axes"
        )
    return layout


def _normalisation(config, number, sizes):
    values = config._get("insert_bn_before_firstnode", {}).get(number)
    if values is None:
        return None
    if len(sizes) != 4 or not len(values["mean"]) == len(values["var"]) == sizes[1]:
        raise misuse(
            _CALL,
            f"insert_bn_before_firstnode has not a mean and a var for each channel of {sizes}",
            "read beyond them",
        )
    return values["mean"], values["var"]


def _check_numbers(network, config):
    """Refuse keys of inputs and outputs that there are not."""
    for key, tensors in (
        ("dim_range", network._inputs),
        ("insert_bn_before_firstnode", network._inputs),
        ("convert_input_layout", network._inputs),
        ("convert_output_layout", network._outputs),
    ):
        for number in config._get(key, {}):
            if int(number) >= len(tensors):
                raise misuse(_CALL, f"{key} has {number}, there is no such tensor", "ignore it")


def _compile(network, config, ranges, plans):
    """Return the graph that runs."""
    precision = config._precision(_CALL)
    half = precision == "force_float16" or precision.endswith("mixed_float16")
    graph = graphs.copy_of(network._model)
    graphs.keep_outputs(graph, {tensor._name for tensor in network._outputs})
    weights = graphs.constants(graph)
    if half:
        graphs.to_float16(graph)
    if ranges is not None:
        quantise.quantise(
            graph,
            weights,
            ranges,
            bits=8 if precision.startswith("qint8") else 16,
            per_axis=config._get("precision_config.weight_quant_granularity") == "per_axis",
            asymmetric=config._get("precision_config.activation_quant_algo") == "asymmetric",
        )
    for index, plan in enumerate(plans):
        graphs.change_input(graph, index, plan.data_type, plan.layout, plan.normalisation, half)
    for index, tensor in enumerate(network._outputs):
        layout = _layout(config, "convert_output_layout", str(index), len(tensor._sizes))
        graphs.change_output(graph, index, tensor._data_type, layout)
    return graph


def _describe(network, config, plans, graph):
    """Return what a model's file says of itself, or None where the graph does not run."""
    inputs = [
        {
            "name": tensor._name,
            "dims": [low if low == high else -1 for low, high in plan.reordered(plan.ranges)],
            "ranges": plan.reordered(plan.ranges),
            "type": plan.data_type.name,
        }
        for tensor, plan in zip(network._inputs, plans)
    ]
    outputs = offline.probed_outputs(graphs.to_bytes(graph), inputs, network._outputs)
    if outputs is None:
        return None
    return {
        "chips": config._chips(),
        "computation_preference": config._get("computation_preference", "auto"),
        "inner": graphs.inner_tensors(graph, network._model),
        "inputs": inputs,
        "mutable": plans[0].mutable,
        "outputs": outputs,
        "precision": config._precision(_CALL),
        "settings": {key: config._values[key] for key in sorted(config._values)},
    }
