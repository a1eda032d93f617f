"""Stand-ins for the vendor's mm_run."""

from __future__ import annotations

from pathlib import Path

#: Options as `mm_run -h` names them, in both generations.
_BOTH = {
    *("magicmind_model", "input_dims", "run_config", "input_files", "output_path", "plugin"),
    *("devices", "threads", "bind_cluster", "warmup", "duration", "iterations"),
    *("disable_data_copy", "host_async", "kernel_capture"),
    *("trace_path", "debug_path", "perf_path"),
}
OLD_OPTIONS = frozenset([*_BOTH, "batch", "datatransfer_opt"])
NEW_OPTIONS = frozenset(
    [*_BOTH, "batch_size", "buffer_depth", "infer_depth", "trace_pmu", "trace_time", "avg_runs"]
)


def write_tool(path: Path, options: frozenset[str], body: str) -> Path:
    """Write a stand-in: with -h it names its options, else it does what the body says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    usage = "\n".join(f"        --{name}\n            [optional] something" for name in options)
    on_help = f"if [ \"$1\" = -h ]; then cat <<'END'\nSYNOPSIS\n{usage}\nEND\nexit 0; fi"
    path.write_text(f"#!/bin/sh\n{on_help}\n{body}\n")
    path.chmod(0o755)
    return path


def prints(text: str) -> str:
    """Return a body that prints a text, and on the other stream what it was called with."""
    return f"echo \"called with: $*\" >&2\ncat <<'END'\n{text}END"
