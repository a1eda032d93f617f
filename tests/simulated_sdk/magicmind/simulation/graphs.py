"""Networks as ONNX graphs: reading them, changing their boundaries, running them.

onnx and onnxruntime are imported where they are needed first, so that what only looks at the
SDK needs neither.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from magicmind.simulation.kinds import DataType, ModelKind

#: What moves or selects numbers, and so rounds none that are rounded already.
_MOVES = {
    "Relu",
    "MaxPool",
    "GlobalMaxPool",
    "Concat",
    "Reshape",
    "Flatten",
    "Transpose",
    "Identity",
    "Slice",
    "Split",
    "Squeeze",
    "Unsqueeze",
    "Dropout",
    "Constant",
}
_FLOAT, _FLOAT16, _UINT8 = 1, 10, 2  # onnx.TensorProto's
_ONNX_TYPES = {DataType.FLOAT32: _FLOAT, DataType.FLOAT16: _FLOAT16, DataType.UINT8: _UINT8}


class UnreadableError(ValueError):
    """A framework's file cannot be read."""


def read_network(kind, files):
    """Return a network as ONNX: ``[N, C, H, W]`` float32 in, with N open where it is."""
    import onnx

    if kind is ModelKind.kCaffe:
        from mlubench.errors import MlubenchError
        from mlubench.networks.caffe import import_caffe

        weights, prototxt = files
        try:
            return import_caffe(Path(prototxt), Path(weights))
        except MlubenchError as error:
            raise UnreadableError(str(error)) from error
    try:
        model = onnx.load(files[0])
        onnx.checker.check_model(model)
    except Exception as error:  # of protobuf, of the checker, of whatever is in the file
        raise UnreadableError(f"{files[0]}: {error}") from error
    constants = {tensor.name for tensor in model.graph.initializer}
    kept = [one for one in model.graph.input if one.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    if any(one.type.tensor_type.elem_type != _FLOAT for one in model.graph.input):
        raise UnreadableError(f"{files[0]}: the simulated SDK takes float32 inputs")
    return model


def shapes(tensors):
    """Return (name, sizes) of inputs or outputs; -1 is open."""
    found = []
    for tensor in tensors:
        axes = tensor.type.tensor_type.shape.dim
        found.append((tensor.name, [axis.dim_value or -1 for axis in axes]))
    return found


def session(data):
    """Return an ONNX Runtime session of one thread for a model's bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Quantisation stays as the graph states it: with int8 kernels in its place the scores would
    # depend on the host's instructions.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def to_bytes(model):
    """Return a model's bytes, the same for equal models."""
    return model.SerializeToString(deterministic=True)


def copy_of(model):
    """Return a copy that may be changed, without inner shapes and with an open batch."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for tensor in (*copy.graph.input, *copy.graph.output):
        if tensor.type.tensor_type.shape.dim:
            tensor.type.tensor_type.shape.dim[0].dim_param = "N"
    return copy


def constants(model):
    """Return name -> array of the initialisers."""
    from onnx import numpy_helper

    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def set_constant(model, name, array):
    """Add an initialiser, or replace the one of that name."""
    from onnx import numpy_helper

    for one in model.graph.initializer:
        if one.name == name:
            one.CopyFrom(numpy_helper.from_array(array, name))
            return
    model.graph.initializer.append(numpy_helper.from_array(array, name))


def rename(model, old, new):
    """Give a tensor another name wherever nodes have it."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def to_float16(model):
    """Round as float16 arithmetic does: weights, and what each operation gives.

    The numbers stay stored as float32 (each operation accumulates in it, as the units that
    multiply float16 do) and every result goes through float16 and back; what is beyond 65504 is
    infinite. Operations that only move numbers are left alone. A BatchNormalization counts as
    part of the operation before it, as where it is folded: its parameters, which may be beyond
    float16 (a variance of 71838 would be infinite, and the scores noise), and what it reads are
    not rounded, what it gives is.
    """
    floats = _float_tensors(model)
    normalisations = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    kept = {name for node in normalisations for name in node.input}
    for name, array in constants(model).items():
        if array.dtype == np.float32 and name not in kept:
            with np.errstate(over="ignore"):
                set_constant(model, name, array.astype(np.float16).astype(np.float32))
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type in _MOVES:
            continue
        for place, name in enumerate(node.output):
            if name in floats and name not in kept:
                node.output[place] = f"{name}/exact"
                nodes.extend(_rounding(f"{name}/exact", name))
    _replace_nodes(model, nodes)


def _rounding(source, target):
    from onnx import helper

    half = f"{target}/half"
    return [
        helper.make_node("Cast", [source], [half], half, to=_FLOAT16),
        helper.make_node("Cast", [half], [target], f"{half}/back", to=_FLOAT),
    ]


def _float_tensors(model):
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    every = (*inferred.value_info, *inferred.output)
    return {one.name for one in every if one.type.tensor_type.elem_type == _FLOAT}


def _replace_nodes(model, nodes):
    nodes = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def permutation(pair):
    """Return the axes' order that makes ``dst`` of ``src``."""
    src, dst = pair
    return [src.index(axis) for axis in dst]


def change_input(model, index, data_type, layout, normalisation, half):
    """Put conversions before a network's input: layout, type, mean and variance.

    Args:
        model: is changed.
        index: of the input.
        data_type: that the input will have.
        layout: (src, dst), or None.
        normalisation: (mean, variance) per channel, or None: ``(x - mean) / sqrt(variance)``.
        half: round the outcome to float16.
    """
    from onnx import helper

    tensor = model.graph.input[index]
    name = last = tensor.name
    rename(model, name, f"{name}/original")
    nodes = []

    def add(kind, *constant, **attributes):
        nonlocal last
        target = f"{name}/{len(nodes)}"
        nodes.append(helper.make_node(kind, [last, *constant], [target], target, **attributes))
        last = target

    if layout is not None:
        order = permutation(layout)
        _reorder(tensor, order)
        add("Transpose", perm=list(np.argsort(order)))
    if data_type is not DataType.FLOAT32:
        tensor.type.tensor_type.elem_type = _ONNX_TYPES[data_type]
        add("Cast", to=_FLOAT)
    if normalisation is not None:
        for kind, values in zip(("Sub", "Div"), (normalisation[0], np.sqrt(normalisation[1]))):
            constant = f"{name}/{kind}"
            set_constant(model, constant, np.asarray(values, np.float32).reshape(1, -1, 1, 1))
            add(kind, constant)
    original = f"{name}/original"
    if half:
        nodes.extend(_rounding(last, original))
    else:
        nodes.append(helper.make_node("Identity", [last], [original], original))
    _replace_nodes(model, [*nodes, *model.graph.node])


def change_output(model, index, data_type, layout):
    """Put conversions behind a network's output: layout, type; as :func:`change_input`."""
    from onnx import helper

    tensor = model.graph.output[index]
    name = tensor.name
    last = f"{name}/original"
    rename(model, name, last)
    nodes = []
    if layout is not None:
        order = permutation(layout)
        _reorder(tensor, order)
        nodes.append(helper.make_node("Transpose", [last], [f"{name}/layout"], perm=order))
        last = f"{name}/layout"
    kind = _ONNX_TYPES[data_type]
    tensor.type.tensor_type.elem_type = kind
    nodes.append(helper.make_node("Cast", [last], [name], f"{name}/type", to=kind))
    _replace_nodes(model, [*model.graph.node, *nodes])


def _reorder(tensor, order):
    axes = tensor.type.tensor_type.shape.dim
    copies = []
    for axis in axes:
        copy = type(axis)()
        copy.CopyFrom(axis)
        copies.append(copy)
    for place, source in enumerate(order):
        axes[place].CopyFrom(copies[source])


def keep_outputs(model, names):
    """Remove the outputs that were unmarked."""
    kept = [one for one in model.graph.output if one.name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def inner_tensors(model, network):
    """Return the tensors that a network names and its compiled graph computes, but for outputs."""
    outputs = {one.name for one in model.graph.output}
    named = {name for node in network.graph.node for name in node.output} - outputs
    floats = _float_tensors(model)
    computed = [name for node in model.graph.node for name in node.output]
    return [name for name in computed if name in named and name in floats]


def with_outputs(data, names):
    """Return a session whose outputs are a network's own and, behind them, the tensors named."""
    import onnx

    model = onnx.load_model_from_string(data)
    for name in names:
        model.graph.output.add().name = name
    return session(to_bytes(model))


def run_images(runner, feeds):
    """Return the outputs of a batch, computed image by image.

    Whatever ONNX Runtime's kernels do with larger batches, so an image's scores are the same
    bytes in every batch.
    """
    batch = len(next(iter(feeds.values())))
    parts = [
        runner.run(None, {name: array[one : one + 1] for name, array in feeds.items()})
        for one in range(batch)
    ]
    return [np.concatenate(arrays) for arrays in zip(*parts)]
