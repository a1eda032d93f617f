"""Accuracy and speed of Caffe image classifiers, per precision, on MLU cards and CPUs."""

import os

__version__ = "0.1.0"

# The allocator that Arrow brings keeps what was freed: 80 MB of a run of 50,000 images. What reads
# and writes Parquet asks for it by this variable alone, when Arrow is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
