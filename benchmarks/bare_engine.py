"""OpenVINO's own throughput for a compiled file, and nothing else: no reading, no results.

``python -m benchmarks.bare_engine MODEL_XML CORES BATCHES HINT`` prints images per second.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import openvino as ov

_WARM_UP = 40


def main() -> None:
    """Keep one request a core in flight, all with the same input."""
    path, batches, hint = sys.argv[1], sys.argv[3], sys.argv[4]
    cores = [int(core) for core in sys.argv[2].split(",")]
    os.sched_setaffinity(0, cores)
    compiled = ov.Core().compile_model(
        path,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": len(cores),
            "INFERENCE_NUM_THREADS": len(cores),
            "ENABLE_CPU_PINNING": False,
        },
    )
    shape = list(compiled.input(0).shape)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    queue = ov.AsyncInferQueue(compiled, max(2, len(cores) + 1))
    for request in queue:
        request.set_input_tensor(0, ov.Tensor(pixels.copy()))
    for _ in range(_WARM_UP):
        queue.start_async()
    queue.wait_all()
    start = time.perf_counter()
    for _ in range(int(batches)):
        queue.start_async()
    queue.wait_all()
    print(int(batches) * shape[0] / (time.perf_counter() - start))  # noqa: T201  # its output


if __name__ == "__main__":
    main()
