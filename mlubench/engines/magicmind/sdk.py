"""The SDK as it is imported, and the checks that every call of it goes through."""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, List

from mlubench.errors import ConfigError, EngineError

#: The names under which the vendor's samples import the SDK.
RUNTIME = "magicmind.python.runtime"
PARSER = "magicmind.python.runtime.parser"
TYPES = "magicmind.python.common.types"
#: The folder of a package's metadata, whose name tells the version; the API has no attribute for
#: it, and importlib.metadata came with Python 3.8.
_METADATA = re.compile(r"magicmind(?:_runtime)?-([0-9A-Za-z.+!]+).*\.(?:dist|egg)-info")


def load_sdk(name: str) -> ModuleType:
    """Import a module of the SDK.

    Raises:
        ConfigError: it cannot be imported; says what was looked for and what to install.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        home = os.environ.get("NEUWARE_HOME", "not set")
        raise ConfigError(
            f"MagicMind's SDK is not there: {error}",
            where="--engine magicmind",
            expected=f"the module {name} under Python {platform.python_version()} at "
            f"{sys.executable} (NEUWARE_HOME is {home}); the SDK comes in the vendor's image, not "
            "from a package index",
            fix="run inside that image, and name its Python in engines.yaml (--conf DIR): "
            "magicmind: {python: /usr/bin/python3.7}; see docs/mlu.md",
        ) from error


def sdk_version(runtime: ModuleType) -> str:
    """Return what is known of the SDK's version: its package's, or its library's digest."""
    for folder in importlib.import_module(RUNTIME.split(".")[0]).__path__:
        for entry in sorted(Path(folder).parent.glob("magicmind*-info")):
            found = _METADATA.fullmatch(entry.name)
            if found:
                return found.group(1)
    library = Path(str(runtime.__file__))
    return f"unknown ({library.name} {hashlib.sha256(library.read_bytes()).hexdigest()[:16]})"


class Checks:
    """Turns what calls of the SDK return into errors that name call, arguments and device.

    Args:
        device: where the calls are made, for example ``mlu:0``.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    def ok(self, status: Any, call: str, **arguments: object) -> None:
        """Check a Status.

        Raises:
            EngineError: it is not OK, or it is no Status.
        """
        if not hasattr(status, "ok"):
            raise self._failed(call, arguments, f"returned {status!r}, which is no Status")
        if status.ok() is not True:
            raise self._failed(call, arguments, _message(status))

    def ok_or_nothing(self, status: Any, call: str, **arguments: object) -> None:
        """Check what a call returns that the samples never look at: a Status, or nothing.

        Raises:
            EngineError: it is a Status that is not OK, or False.
        """
        if hasattr(status, "ok"):
            self.ok(status, call, **arguments)
        elif status is False:
            raise self._failed(call, arguments, "returned False")

    def made(self, thing: Any, call: str, **arguments: object) -> Any:
        """Return what a factory made.

        Raises:
            EngineError: it made nothing, or gave a Status in place of it.
        """
        if thing is None:
            raise self._failed(call, arguments, "returned None")
        if hasattr(thing, "ok"):
            raise self._failed(call, arguments, _message(thing))
        return thing

    def listed(self, tensors: Any, call: str, count: int, **arguments: object) -> List[Any]:
        """Return a list of so many tensors.

        Raises:
            EngineError: it is a Status, or a list of another length.
        """
        found = list(self.made(tensors, call, **arguments))
        if len(found) != count:
            message = f"gave {len(found)} tensors where there is {count}"
            raise self._failed(call, arguments, message)
        return found

    def _failed(self, call: str, arguments: Any, message: str) -> EngineError:
        said = ", ".join(f"{name}={value}" for name, value in arguments.items())
        return EngineError(
            f"MagicMind's {call}({said}) failed: {message}",
            where=self.device or "MagicMind",
            fix="see the card with cnmon, and the SDK's own log (MM_CPP_MIN_LOG_LEVEL=0)",
        )


def load_plugin(runtime: ModuleType, checks: Checks, library: str) -> None:
    """Load a library of further operations.

    Raises:
        EngineError: it cannot be loaded.
    """
    loaded = runtime.LoadPluginLibrary().load(library)
    checks.ok_or_nothing(loaded, "LoadPluginLibrary.load", path=library)


def _message(status: Any) -> str:
    """Return a Status's own words."""
    if hasattr(status, "ok"):
        status.ok()
    words = getattr(status, "error_message", None)
    return str(words() if callable(words) else status).strip() or "without a message"
