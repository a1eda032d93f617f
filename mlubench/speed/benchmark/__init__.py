"""``mlubench bench``: throughput and latency of every configuration, in interleaved rounds."""
