"""Where the checkout keeps what to run, as data."""

from __future__ import annotations

from pathlib import Path

#: The folder ``conf/`` of the checkout that this package was installed from.
CONF = Path(__file__).resolve().parent.parent / "conf"
