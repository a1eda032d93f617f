"""The names of the numeric modes."""

#: What every other precision is compared with.
REFERENCE = "force_float32"

#: MagicMind's names of the numeric modes; an engine refuses those that it has not.
PRECISIONS = (
    REFERENCE,
    "force_float16",
    "qint8_mixed_float16",
    "qint8_mixed_float32",
    "qint16_mixed_float16",
    "qint16_mixed_float32",
)


def is_quantised(precision: str) -> bool:
    """Whether a precision is calibrated on images."""
    return precision.startswith("qint")
