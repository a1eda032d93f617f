"""Quantisation, carried out on the graph as the calibrated ranges have it.

The first input of every convolution and product with constant weights is rounded to the integers
of its range (QuantizeLinear and DequantizeLinear), its weights likewise, once and for all. The
multiplication itself is done in float32, which holds products of int8 exactly and those of int16
closely.
"""

from __future__ import annotations

import numpy as np

from magicmind.simulation import graphs

#: Operation -> the axis of its weights that is the output channel, per_axis.
_PRODUCTS = {"Conv": 0, "ConvTranspose": 1, "Gemm": None, "MatMul": 1}
_BINS = 2048
_THRESHOLDS = np.linspace(0.25, 1.0, 151)


def activations(model):
    """Return the names of the tensors that are quantised, in the graph's order."""
    return list(dict.fromkeys(node.input[0] for node in _products(model)))


def _products(model):
    known = graphs.constants(model)
    return [
        node
        for node in model.graph.node
        if node.op_type in _PRODUCTS and node.input[1] in known and node.input[0] not in known
    ]


class Observer:
    """What calibration sees of a network's activations.

    Args:
        model: the float32 network.
        bits: 8 or 16.
    """

    def __init__(self, model, bits):
        self._names = activations(model)
        self._bits = bits
        copy = graphs.copy_of(model)
        del copy.graph.output[:]
        self._inputs = [one.name for one in copy.graph.input]
        self._direct = [name for name in self._names if name in self._inputs]
        inner = [name for name in self._names if name not in self._inputs]
        for name in inner:
            copy.graph.output.add(name=name).type.tensor_type.elem_type = 1
        self._session = graphs.session(graphs.to_bytes(copy)) if inner else None
        self.ranges = dict.fromkeys(self._names, (np.inf, -np.inf))
        self._histograms = {name: np.zeros(_BINS) for name in self._names}

    def _values(self, samples):
        feeds = dict(zip(self._inputs, samples))
        for name in self._direct:
            yield name, feeds[name]
        if self._session is not None:
            names = [one.name for one in self._session.get_outputs()]
            yield from zip(names, self._session.run(None, feeds))

    def see(self, samples):
        """Widen the ranges by a sample of each input (first pass)."""
        for name, values in self._values(samples):
            low, high = self.ranges[name]
            self.ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))

    def count(self, samples):
        """Count a sample's values (second pass)."""
        for name, values in self._values(samples):
            top = max(map(abs, self.ranges[name])) or 1.0
            counts, _ = np.histogram(np.abs(values), bins=_BINS, range=(0.0, top))
            self._histograms[name] += counts

    def narrow(self):
        """Give every range the symmetric bound with the least squared error of rounding."""
        for name, (low, high) in self.ranges.items():
            top = max(abs(low), abs(high)) or 1.0
            centres = (np.arange(_BINS) + 0.5) * (top / _BINS)
            errors = [
                self._error(centres, self._histograms[name], top * part) for part in _THRESHOLDS
            ]
            bound = float(top * _THRESHOLDS[int(np.argmin(errors))])
            self.ranges[name] = (-bound, bound)

    def _error(self, values, counts, bound):
        step = bound / (2 ** (self._bits - 1) - 1)
        rounded = np.minimum(np.round(values / step) * step, bound)
        return float((counts * (values - rounded) ** 2).sum())


def quantise(model, weights, ranges, bits, per_axis, asymmetric):
    """Quantise a graph.

    Args:
        model: is changed.
        weights: name -> its constants before anything rounded them.
        ranges: name -> (low, high) of every one of :func:`activations`.
        bits: 8 or 16.
        per_axis: a scale for each output channel of the weights; depthwise ones have one anyway.
        asymmetric: activations with a zero point.
    """
    from onnx import helper

    if not any(one.domain == "com.microsoft" for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    products = _products(model)
    for node in products:
        name = node.input[1]
        axis = _axis(node) if per_axis and not _is_depthwise(node, weights[name]) else None
        rounded = _rounded(weights[name], bits, axis)
        graphs.set_constant(model, f"{name}/{node.name}/int{bits}", rounded)
        node.input[1] = f"{name}/{node.name}/int{bits}"
    names = list(dict.fromkeys(node.input[0] for node in products))
    for node in products:
        node.input[0] = f"{node.input[0]}/int{bits}/back"
    _insert(model, {name: _pair(model, name, ranges[name], bits, asymmetric) for name in names})
    _drop_unused(model)


def _axis(node):
    if node.op_type != "Gemm":
        return _PRODUCTS[node.op_type]
    return 0 if any(one.name == "transB" and one.i for one in node.attribute) else 1


def _is_depthwise(node, weights):
    groups = [one.i for one in node.attribute if one.name == "group"]
    return bool(groups) and groups[0] > 1 and weights.shape[1] == 1


def _rounded(weights, bits, axis):
    top = 2 ** (bits - 1) - 1
    others = tuple(one for one in range(weights.ndim) if one != axis)
    bound = np.abs(weights).max(axis=None if axis is None else others, keepdims=True)
    step = np.where(bound > 0, bound / top, 1.0).astype(np.float64)
    return (np.round(weights / step) * step).astype(np.float32)


def scale_of(low, high, bits, asymmetric):
    """Return (scale float32, zero point) of an activation's range, which always holds zero."""
    top = 2 ** (bits - 1)
    if not asymmetric:
        return np.float32(max(abs(low), abs(high)) / (top - 1) or 1.0), 0
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / (2 * top - 1) or 1.0)
    return scale, int(np.clip(round(-top - low / float(scale)), -top, top - 1))


def _pair(model, name, bounds, bits, asymmetric):
    from onnx import helper

    scale, zero = scale_of(*bounds, bits=bits, asymmetric=asymmetric)
    stem = f"{name}/int{bits}"
    constants = [f"{stem}/scale", f"{stem}/zero"]
    graphs.set_constant(model, constants[0], np.asarray(scale, np.float32))
    graphs.set_constant(model, constants[1], np.asarray(zero, np.int8 if bits == 8 else np.int16))
    to, back = ("QuantizeLinear", [name], stem), ("DequantizeLinear", [stem], f"{stem}/back")
    return [
        helper.make_node(kind, [*source, *constants], [target], target, domain="com.microsoft")
        for kind, source, target in (to, back)
    ]


def _insert(model, pairs):
    """Put each pair of nodes behind the one that makes its tensor."""
    given = {one.name for one in model.graph.input}
    nodes = [node for name in pairs if name in given for node in pairs[name]]
    for node in model.graph.node:
        nodes.append(node)
        for name in node.output:
            nodes.extend(pairs.get(name, ()))
    nodes = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _drop_unused(model):
    used = {name for node in model.graph.node for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
