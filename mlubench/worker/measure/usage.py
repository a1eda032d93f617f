"""What a process uses of its host: processor time, memory, threads.

Standard library only, Python 3.7 syntax.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Dict

_STATUS = Path("/proc/self/status")
_FIELDS = {"VmRSS": "memory_kib", "VmHWM": "peak_memory_kib", "Threads": "threads"}


def usage() -> Dict[str, float]:
    """Return what the process uses: ``cpu_seconds`` so far, memory in KiB, ``threads``.

    Memory is ``memory_kib`` now and ``peak_memory_kib``. What the kernel does not tell is absent.
    """
    found: Dict[str, float] = {"cpu_seconds": time.process_time()}
    try:
        text = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return found
    for name, value in re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE):
        if name in _FIELDS:
            found[_FIELDS[name]] = float(value)
    return found
