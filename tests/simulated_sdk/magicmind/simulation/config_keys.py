"""Which JSON keys a BuilderConfig takes, and which values."""

from __future__ import annotations

from magicmind.simulation.ledger import misuse

_CALL = "BuilderConfig"
_IGNORE = "ignore it"

PRECISIONS = (
    "force_float32",
    "force_float16",
    "qint8_mixed_float16",
    "qint8_mixed_float32",
    "qint16_mixed_float16",
    "qint16_mixed_float32",
)
ARCHS = (
    "mtp_220",
    "mtp_270",
    "mtp_290",
    "mtp_322",
    "mtp_322.10",
    "mtp_372",
    "mtp_592",
    "tp_322",
)
LAYOUTS = (("NCT", "NTC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


def wrong(key, what, real=_IGNORE):
    """Return the exception for a key or a value that there is not."""
    return misuse(f"{_CALL}, key {key!r}", what, real)


def one_of(*values):
    """Return a check that a value is one of these."""

    def check(key, value):
        if not any(value is one or (type(value) is str and value == one) for one in values):
            raise wrong(key, f"{value!r} is none of {', '.join(map(str, values))}")

    return check


def _text(key, value):
    if not isinstance(value, str):
        raise wrong(key, f"{value!r} is no string")


def _whole(key, value):
    if type(value) is not int:
        raise wrong(key, f"{value!r} is no integer")


def _is_numbers(value, kinds=(int, float)):
    return isinstance(value, list) and value and all(type(one) in kinds for one in value)


def check_archs(key, value):
    """Check ``["mtp_372"]`` or ``[{"mtp_372": [6, 8]}]``: chips, or chips and cluster counts."""
    if not isinstance(value, list) or not value:
        raise wrong(key, f"{value!r} is no list of chips")
    for one in value:
        chips = one if isinstance(one, dict) else {one: [1]} if isinstance(one, str) else {}
        if not chips or not set(chips) <= set(ARCHS):
            raise wrong(key, f"{one!r} is none of the chips {', '.join(ARCHS)}")
        for clusters in chips.values():
            if not _is_numbers(clusters, (int,)) or min(clusters) < 1:
                raise wrong(key, f"{clusters!r} is no list of numbers of clusters")


def _per_input(check):
    """Return a check of ``{"0": ..., "1": ...}``."""

    def checked(key, value):
        if not isinstance(value, dict) or not value or not all(one.isdigit() for one in value):
            raise wrong(key, f"{value!r} has not the tensors' numbers as its keys")
        for number, one in value.items():
            check(f"{key}.{number}", one)

    return checked


def _fields(**checks):
    """Return a check of an object with exactly these keys."""

    def check(key, value):
        if not isinstance(value, dict) or set(value) != set(checks):
            raise wrong(key, f"{value!r} has not the keys {', '.join(sorted(checks))}")
        for name, one in checks.items():
            one(f"{key}.{name}", value[name])

    return check


def _numbers(key, value):
    if not _is_numbers(value):
        raise wrong(key, f"{value!r} is no list of numbers")


def _variances(key, value):
    _numbers(key, value)
    if min(value) <= 0:
        raise wrong(key, f"{value!r} are no variances", "compute what is not a number")


def _sizes(key, value):
    if not _is_numbers(value, (int,)) or min(value) < 1:
        raise wrong(key, f"{value!r} are no sizes")


def _layouts(key, value):
    _fields(src=_text, dst=_text)(key, value)
    pair = (value["src"], value["dst"])
    if pair[0] == pair[1]:
        raise wrong(key, f"converts {pair[0]} to what it already is", "fail or do anything")
    if pair not in LAYOUTS and pair[::-1] not in LAYOUTS:
        raise wrong(key, f"{pair[0]} to {pair[1]} is no conversion")


def _bounds(key, value):
    if not isinstance(value, dict) or set(value) != {""}:
        raise wrong(key, f"{value!r}: only the empty name, all tensors, is documented")
    _fields(min=_numbers, max=_numbers)(key, value[""])
    low, high = value[""]["min"], value[""]["max"]
    if len(low) != 1 or len(high) != 1 or not low[0] < high[0]:
        raise wrong(key, f"{value!r} is no range")


_FLAG = one_of(True, False)
#: Dotted key -> check of its value.
KEYS = {
    "precision_config.precision_mode": one_of(*PRECISIONS),
    "precision_config.weight_quant_granularity": one_of("per_tensor", "per_axis"),
    "precision_config.activation_quant_algo": one_of("symmetric", "asymmetric"),
    "archs": check_archs,
    "graph_shape_mutable": _FLAG,
    "dim_range": _per_input(_fields(min=_sizes, max=_sizes)),
    "insert_bn_before_firstnode": _per_input(_fields(mean=_numbers, var=_variances)),
    "convert_input_layout": _per_input(_layouts),
    "convert_output_layout": _per_input(_layouts),
    "opt_config.type64to32_conversion": _FLAG,
    "opt_config.conv_scale_fold": _FLAG,
    "opt_config.tfu_enable": _FLAG,
    "cross_compile_toolchain_path": _text,
    "computation_preference": one_of("auto", "fast", "high_precision"),
    "compute_determinism": _FLAG,
    "debug_config.fusion_enable": _FLAG,
    "debug_config.print_ir.print_level": _whole,
    "custom_ranges": _bounds,
}
_GONE = {"opt_config.clustering_launch_enable": "it is gone since MagicMind 1.6"}


def flattened(values, prefix=""):
    """Return the leaves of a JSON object by their dotted keys, each one checked."""
    leaves = {}
    for name, value in values.items():
        key = prefix + name
        if key in KEYS:
            KEYS[key](key, value)
            leaves[key] = value
        elif isinstance(value, dict) and any(known.startswith(key + ".") for known in KEYS):
            leaves.update(flattened(value, key + "."))
        else:
            raise wrong(key, _GONE.get(key, "there is no such key"))
    return leaves
