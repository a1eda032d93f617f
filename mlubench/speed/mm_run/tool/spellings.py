"""How mm_run's options were called before.

Apart from the options themselves, whose module the command line loads only where it needs it.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Options of MagicMind up to 0.14 and what they are called since.
OLDER_SPELLINGS: Mapping[str, str] = {"batch": "batch_size"}
