"""The input shapes of a run: ``--input_dims``, ``--batch_size`` and ``--run_config`` resolved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlubench.errors import ConfigError, in_words
from mlubench.speed.mm_run.tool.options import MmRunOptions
from mlubench.speed.mm_run.tool.results import Shape

#: ``inputType`` of a run_config: shapes by the inputs' order, or by their names.
_BY_ORDER, _BY_NAME = 0, 1
#: A group is a list, one for each input, of lists of dimensions.
_GROUP_DEPTH = 2
_FORM = (
    '{"inputType": 0, "shapes": [[[1,3,224,224]], [[8,3,224,224]]]}, or with "inputType": 1 '
    '{"data": [1,3,224,224]} in place of [[1,3,224,224]]'
)


def shape_groups(options: MmRunOptions, inputs: Sequence[Shape]) -> tuple[tuple[Shape, ...], ...]:
    """Return the sets of input shapes that a run takes in turn; at least one.

    A run_config goes over everything; ``--batch_size`` replaces the first dimension of what
    ``--input_dims`` says, or of the network's own shapes.

    Args:
        options: of the run.
        inputs: the network's inputs in their order; -1 is a dimension that is open.

    Raises:
        ConfigError: the number of inputs or of dimensions does not fit, a fixed dimension would
            be changed, a dimension is left open, or the run_config cannot be read.
    """
    if options.run_config is not None:
        groups = _read_run_config(options.run_config, inputs)
        where = f"--run_config {options.run_config}"
        return tuple(_fitting(group, inputs, where) for group in groups)
    shapes = [dims for _, dims in inputs]
    where = "--input_dims"
    if options.input_dims:
        _check_count(len(options.input_dims), inputs, where)
        shapes = list(options.input_dims)
    if options.batch_size:
        where = "--batch_size"
        _check_count(len(options.batch_size), inputs, where)
        shapes = [
            dims if batch is None else (batch, *dims[1:])
            for batch, dims in zip(options.batch_size, shapes, strict=True)
        ]
    return (_fitting(shapes, inputs, where),)


def _check_count(given: int, inputs: Sequence[Shape], where: str) -> None:
    if given != len(inputs):
        names = ", ".join(name for name, _ in inputs)
        raise _wrong(f"shapes of {given} inputs", where, f"{len(inputs)}: {names}")


def _fitting(
    shapes: Sequence[Sequence[int]], inputs: Sequence[Shape], where: str
) -> tuple[Shape, ...]:
    """Return the shapes with the inputs' names, if the network can take them."""
    _check_count(len(shapes), inputs, where)
    for dims, (name, own) in zip(shapes, inputs, strict=True):
        fits = len(dims) == len(own) and all(
            given == fixed if fixed != -1 else given >= 1
            for given, fixed in zip(dims, own, strict=True)
        )
        if not fits:
            expected = f"{list(own)} for input {name}"
            if -1 in own:
                expected += ", a number of 1 or more in place of each -1"
            raise _wrong(f"the network does not take the shape {list(dims)}", where, expected)
    return tuple((name, tuple(dims)) for dims, (name, _) in zip(shapes, inputs, strict=True))


def _read_run_config(path: Path, inputs: Sequence[Shape]) -> list[list[list[int]]]:
    """Return a run_config's shapes, a list of one for each input in every group.

    The vendor documents that there are groups of shapes, by order or by name as ``inputType``
    says, but not under which key: whatever the one other key is, it holds a group or a list of
    groups. By name, the inputs may be keys themselves; and the whole may be a list of such
    objects.
    """
    where = f"--run_config {path}"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(f"cannot be read: {in_words(error)}", where, _FORM) from error
    parts = config if isinstance(config, list) else [config]
    groups = [group for part in parts for group in _groups(part, inputs, where)]
    if not groups:
        raise _no_form(where)
    return groups


def _groups(part: Any, inputs: Sequence[Shape], where: str) -> list[list[list[int]]]:
    if not isinstance(part, dict) or part.get("inputType") not in (_BY_ORDER, _BY_NAME):
        raise _no_form(where)
    others = {key: value for key, value in part.items() if key != "inputType"}
    names = [name for name, _ in inputs]
    if part["inputType"] == _BY_ORDER:
        held = next(iter(others.values())) if len(others) == 1 else None
        groups = [held] if _depth(held) == _GROUP_DEPTH else held
    else:
        held = others if set(others) == set(names) else next(iter(others.values()), None)
        groups = [
            _in_order(group, names, where) for group in (held if isinstance(held, list) else [held])
        ]
    if not groups or any(_depth(group) != _GROUP_DEPTH for group in groups):
        raise _no_form(where)
    return list(groups)


def _in_order(group: Any, names: list[str], where: str) -> list[Any]:
    """Return the shapes of a group by name in the order of the inputs."""
    if not isinstance(group, dict) or set(group) != set(names):
        raise _wrong(f"{group!r} does not name the inputs", where, ", ".join(names))
    return [group[name] for name in names]


def _depth(value: Any) -> int | None:
    """Return how deep lists of integers are nested; None where it is nothing but those."""
    if type(value) is int:
        return 0
    if not isinstance(value, list):
        return None
    depths = {_depth(item) for item in value}
    inner = depths.pop() if len(depths) == 1 else 0 if not depths else None
    return None if inner is None else inner + 1


def _no_form(where: str) -> ConfigError:
    return _wrong("is no list of shapes", where, _FORM)


def _wrong(what: str, where: str, expected: str) -> ConfigError:
    return ConfigError(what, where=where, expected=expected, fix="see mlubench run --help")
