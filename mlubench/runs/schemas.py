"""The schemas of the Parquet files of a run folder and of the history."""

from __future__ import annotations

import pyarrow as pa


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _list_of(kind: pa.DataType) -> pa.DataType:
    # "element" is the name that Parquet gives it, so a type read back equals the one written.
    return pa.list_(_required("element", kind))


TOP_INDEX = _list_of(pa.int16())
TOP_SCORE = _list_of(pa.float32())

#: predictions.parquet, sorted by precision, image_index.
PREDICTIONS = pa.schema(
    [
        _required("image_index", pa.int32()),
        _required("image", pa.string()),
        _required("class_id", pa.string()),
        _required("precision", pa.string()),
        _required("label", pa.int16()),
        _required("top5_index", TOP_INDEX),
        _required("top5_score", TOP_SCORE),
        _required("correct1", pa.bool_()),
        _required("correct5", pa.bool_()),
        _required("status", pa.string()),
    ]
)

#: shards.parquet, sorted by precision, shard.
SHARDS = pa.schema(
    [
        _required("precision", pa.string()),
        _required("shard", pa.int32()),
        _required("first_image", pa.int32()),
        _required("images", pa.int32()),
        _required("device", pa.string()),
        _required("host", pa.string()),
        _required("attempts", pa.int32()),
        _required("started_utc", pa.timestamp("us", "UTC")),
        _required("seconds", pa.float64()),
        _required("failures", _list_of(pa.string())),
    ]
)

#: One finished shard; its facts are in the file's key-value metadata.
SHARD_RESULT = pa.schema([_required("top5_index", TOP_INDEX), _required("top5_score", TOP_SCORE)])

#: thumbnails.parquet, sorted by image: small JPEGs of flipped images, as the network saw them.
THUMBNAILS = pa.schema([_required("image", pa.string()), _required("jpeg", pa.binary())])

#: accuracy.parquet, a row per precision. Fractions; agreement to mcnemar_p are against
#: force_float32, null in its own row and where the run has none.
ACCURACY = pa.schema(
    [
        _required("model", pa.string()),
        _required("dataset", pa.string()),
        _required("engine", pa.string()),
        _required("engine_version", pa.string()),
        _required("precision", pa.string()),
        _required("executed_precision", pa.string()),
        _required("batch_size", pa.int32()),
        _required("dynamic_shape", pa.bool_()),
        _required("images", pa.int64()),
        _required("top1", pa.float64()),
        _required("top1_low", pa.float64()),
        _required("top1_high", pa.float64()),
        _required("top5", pa.float64()),
        _required("top5_low", pa.float64()),
        _required("top5_high", pa.float64()),
        pa.field("agreement", pa.float64()),
        pa.field("lost", pa.int64()),
        pa.field("won", pa.int64()),
        pa.field("drop", pa.float64()),
        pa.field("drop_low", pa.float64()),
        pa.field("drop_high", pa.float64()),
        pa.field("mcnemar_p", pa.float64()),
        _required("verdict", pa.string()),
    ]
)


#: Percentiles of the latency, as columns are named: 999 is p99.9.
_PERCENTILE_COLUMNS = ("p50", "p90", "p95", "p99", "p999")

#: throughput.parquet, a row per configuration. Images per second, milliseconds; `_low` and
#: `_high` are the ends of 95 % intervals, null where the samples or rounds are too few for one;
#: `_needed` is how many requests MLPerf's early stopping wants for that percentile. speedup is
#: against force_float32 of the same batch, shape and devices, null in its own row and without one.
THROUGHPUT = pa.schema(
    [
        _required("model", pa.string()),
        _required("engine", pa.string()),
        _required("engine_version", pa.string()),
        _required("precision", pa.string()),
        _required("executed_precision", pa.string()),
        _required("batch_size", pa.int32()),
        _required("dynamic_shape", pa.bool_()),
        _required("devices", _list_of(pa.string())),
        _required("threads", pa.int32()),
        _required("infer_depth", pa.int32()),
        _required("rounds", pa.int32()),
        _required("requests", pa.int64()),
        _required("images", pa.int64()),
        _required("seconds", pa.float64()),
        _required("throughput", pa.float64()),
        pa.field("throughput_low", pa.float64()),
        pa.field("throughput_high", pa.float64()),
        _required("round_throughput", _list_of(pa.float64())),
        pa.field("speedup", pa.float64()),
        pa.field("speedup_low", pa.float64()),
        pa.field("speedup_high", pa.float64()),
        _required("latency_mean_ms", pa.float64()),
        *(
            column
            for name in _PERCENTILE_COLUMNS
            for column in (
                _required(f"{name}_ms", pa.float64()),
                pa.field(f"{name}_low_ms", pa.float64()),
                pa.field(f"{name}_high_ms", pa.float64()),
                _required(f"{name}_needed", pa.int64()),
            )
        ),
        _required("copy_in_ms", pa.float64()),
        _required("compute_ms", pa.float64()),
        _required("copy_out_ms", pa.float64()),
        _required("warmup_seconds", pa.float64()),
        _required("steady", pa.bool_()),
        _required("cpu_seconds", pa.float64()),
        _required("memory_kib", pa.int64()),
        _required("process_threads", pa.int32()),
        pa.field("clock_mhz", pa.float64()),
        _required("load", pa.float64()),
        _required("others", pa.float64()),
        _required("disturbed", pa.bool_()),
        _required("speed_only", pa.bool_()),
    ]
)

#: latencies.parquet, a row per request, in the order of throughput.parquet's rows (configuration
#: is the place of one), then of time. Milliseconds; start is since the round began; device_ms is by
#: the device's own clock, null where it has none.
LATENCIES = pa.schema(
    [
        _required("configuration", pa.int32()),
        _required("round", pa.int32()),
        _required("device", pa.string()),
        _required("thread", pa.int32()),
        _required("batch_size", pa.int32()),
        _required("start_ms", pa.float64()),
        _required("latency_ms", pa.float64()),
        _required("copy_in_ms", pa.float64()),
        _required("compute_ms", pa.float64()),
        _required("copy_out_ms", pa.float64()),
        pa.field("device_ms", pa.float64()),
    ]
)


#: latencies.parquet of a scenario: every query, in the order of their numbers.
QUERIES = pa.schema(
    [
        _required("query", pa.int32()),
        _required("samples", pa.int32()),
        _required("scheduled_ms", pa.float64()),
        _required("issued_ms", pa.float64()),
        _required("finished_ms", pa.float64()),
        _required("latency_ms", pa.float64()),
    ]
)
