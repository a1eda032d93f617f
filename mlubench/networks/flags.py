"""The flags that say how a network is compiled, by the names of MagicMind's gen_model.

A flag that is not given says nothing: the engine does what it always does. Whether an engine has
what a flag asks for is the engine's to say (:meth:`mlubench.engines.interface.Engine.check`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from mlubench.errors import in_words
from mlubench.options import Flag, Positive, wrong

#: Values as MagicMind's tools write them, joined by commas, or as words of their own.
Dimensions = Annotated[tuple[int, ...], BeforeValidator(lambda value: _separated(value))]
Bounds = Annotated[
    tuple[float, ...],
    Field(min_length=2, max_length=2),
    BeforeValidator(lambda value: _separated(value)),
]

#: Flags that choose how activations and weights are quantised.
QUANTISATION = (
    "calibration_algo",
    "weight_quant_granularity",
    "activation_quant_algo",
    "random_calib_range",
    "keep_float",
)
_MLU = "only with --engine magicmind"
_IMAGE_AXES = 4


class CompileFlags(BaseModel):
    """How a network is compiled, beside its precision, batch and preprocessing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_dims: Dimensions | None = Field(
        None, description="N,3,H,W: batch and input size in one; --batch_size goes over its N"
    )
    input_width: Positive | None = Field(None, description="W; the same as --input_height")
    input_height: Positive | None = Field(None, description="H; the two are --input_size")
    dim_range_min: Dimensions | None = Field(
        None, description="N,3,H,W of the smallest batch of a dynamic network"
    )
    dim_range_max: Dimensions | None = Field(None, description="likewise of the largest")
    rgb2bgr: Flag = Field(False, description="reverse the channels inside the network")
    input_layout: str = Field("NHWC", description="NHWC or NCHW, of the compiled network's input")
    input_dtypes: str = Field("UINT8", description="UINT8 or FLOAT, of that input")
    output_layout: str | None = Field(None, description="NHWC or NCHW, of scores with four axes")
    output_dtypes: str = Field("FLOAT", description="FLOAT or HALF, of the scores")
    calibration_algo: Literal["linear", "eqnm"] | None = Field(
        None,
        description="smallest and largest value, or least quantisation error (default: the "
        "engine's; on openvino the mean of the images' extremes)",
    )
    weight_quant_granularity: Literal["per_tensor", "per_axis"] | None = Field(
        None, description="scales of the weights (default: the engine's, per_axis on openvino)"
    )
    activation_quant_algo: Literal["symmetric", "asymmetric"] | None = Field(
        None, description="ranges of the activations (default: symmetric)"
    )
    keep_float: tuple[str, ...] = Field(
        (), description="layers that are not quantised, by Caffe's names; not on magicmind"
    )
    random_calib_range: Bounds | None = Field(
        None, description="min,max of every activation in place of calibration: for speed only"
    )
    file_list: Path | None = Field(
        None, description="which images of --calibration_dir calibrate: a name on each line"
    )
    computation_preference: Literal["auto", "fast", "high_precision"] = Field(
        "auto",
        description="arithmetic of what is not quantised: the precision's own, the "
        "fastest, or float32",
    )
    type64to32_conversion: Flag | None = Field(None, description=_MLU)
    conv_scale_fold: Flag | None = Field(
        None, description="fold scales into convolutions; openvino always does"
    )
    mlu_arch: tuple[str, ...] = Field((), description=_MLU)
    cluster_num: tuple[str, ...] = Field((), description=_MLU)
    plugin: tuple[str, ...] = Field((), description=_MLU)
    toolchain_path: str | None = Field(None, description=_MLU)
    rpc_server: str | None = Field(None, description=_MLU)
    build_config: Path | None = Field(
        None, description="JSON file in MagicMind's form; goes over the other flags"
    )

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, given: Any) -> Any:
        """Turn the dimensions that were given in one into batch, shape and size."""
        return spread(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        low, high = self.dim_range_min, self.dim_range_max
        if (low is None) != (high is None):
            raise wrong(
                "one end of the range is given without the other",
                "--dim_range_min" if low is None else "--dim_range_max",
                "both",
            )
        if low and high and (len(low) != _IMAGE_AXES or low[1:] != high[1:]):
            raise wrong(
                f"{_joined(low)} to {_joined(high)}: only the batch may vary",
                "--dim_range_max",
                "N,3,H,W twice, with the same 3,H,W",
            )
        return self

    @field_validator("precision", mode="before", check_fields=False)
    @classmethod
    def _spell(cls, given: Any) -> Any:
        if isinstance(given, str):
            return spelled(given)
        return tuple(map(spelled, given)) if isinstance(given, (list, tuple)) else given

    def spec_fields(self) -> dict[str, Any]:
        """Return the fields of a :class:`~mlubench.engines.interface.BuildSpec` that these make.

        Raises:
            ConfigError: the file of ``build_config`` is no JSON object.
        """
        low, high = self.dim_range_min, self.dim_range_max
        return {
            "dim_range": (low[0], high[0]) if low and high else None,
            **{name: getattr(self, name) for name in _AS_THEY_ARE},
            **{name: getattr(self, name) or "" for name in _EMPTY_WHERE_NONE},
            "random_calib_range": self.random_calib_range,
            "keep_float": tuple(sorted(set(self.keep_float))),
            "calibration_algo": self.calibration_algo or "",
            "activation_quant_algo": self.activation_quant_algo or "symmetric",
            "build_config": _json_text(self.build_config) if self.build_config else "",
        }

    def refuse_unquantised(self) -> None:
        """Refuse flags of quantisation where nothing is quantised.

        Raises:
            ConfigError: one was given; names it.
        """
        for flag in QUANTISATION:
            if getattr(self, flag) not in (None, ()):
                raise wrong(
                    "no precision is quantised",
                    f"--{flag}",
                    "a qint8 precision, or this flag left out",
                )


_AS_THEY_ARE = (
    "rgb2bgr",
    "input_layout",
    "input_dtypes",
    "output_dtypes",
    "computation_preference",
    "type64to32_conversion",
    "conv_scale_fold",
    "mlu_arch",
    "cluster_num",
    "plugin",
)
_EMPTY_WHERE_NONE = (
    "output_layout",
    "weight_quant_granularity",
    "toolchain_path",
    "rpc_server",
)


def spelled(precision: str) -> str:
    """Return a precision's name as MagicMind takes it; its documents have other spellings."""
    return re.sub(r"^forced_", "force_", re.sub(r"^int(8|16)_mixed", r"qint\1_mixed", precision))


def spread(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the dimensions given in one spread over batch, shape and size.

    Raises:
        ConfigError: they contradict each other, or are none of square pictures.
    """
    options = dict(given)
    sizes = {
        f"--{name}": int(options[name])
        for name in ("input_size", "input_height", "input_width")
        if str(options.get(name)).isdigit()
    }
    if options.get("input_dims") is not None:
        batch, height, width = _image_dims(options["input_dims"])
        sizes["--input_dims"] = height
        sizes["--input_dims, W"] = width
        if batch < 0:
            options.setdefault("dynamic_shape", True)
        else:
            options.setdefault("batch_size", batch)
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{flag} {size}" for flag, size in sizes.items())
        raise wrong(f"sizes that differ: {said}", list(sizes)[-1].split(",")[0], "one square size")
    if sizes:
        options["input_size"] = next(iter(sizes.values()))
    return options


def _image_dims(value: Any) -> tuple[int, int, int]:
    try:
        batch, channels, height, width = map(int, _separated(value))
    except (TypeError, ValueError):
        batch, channels, height, width = 0, 0, 0, 0
    if channels != 3 or batch == 0 or min(height, width) < 1:
        raise wrong(f"{value!r} are no dimensions of images", "--input_dims", "N,3,H,W")
    return batch, height, width


def _separated(value: Any) -> Any:
    """Return ``1,3,224,224`` and lists of such as one list of words."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)):
        return value
    return [part for word in words for part in str(word).split(",") if part]


def _joined(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def _json_text(path: Path) -> str:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise wrong(
            f"cannot be read: {in_words(error)}", f"--build_config {path}", "a JSON object"
        ) from error
    if not isinstance(config, dict):
        raise wrong("is no JSON object", f"--build_config {path}", "{...}")
    return json.dumps(config, sort_keys=True)
