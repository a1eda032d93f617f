"""The exceptions of mlubench, each with the exit status it ends a command with.

    MlubenchError            4   anything that is not listed below
    +-- InputError           2   wrong input or configuration: the user can mend it
    |   +-- ConfigError          an option, a catalogue, a suite
    |   +-- NetworkError         a prototxt, a caffemodel, an ONNX file
    |   +-- DatasetError         images, label lists, calibration images
    |   +-- StoreError           a folder or file that cannot be written or read back
    |   +-- DownloadError        a server that fails; another try may do
    +-- DepotError           4   a store of artifacts failed after the run had begun
    +-- DeviceError          4   the device side failed
        +-- EngineError          the engine refused to build, load or run a network
        +-- WorkerError          a worker process died, hung or broke its protocol

A failed or inconclusive gate (exit 1 and 3) is a result, not an exception.

This module is read by the device workers too, under the engine's own interpreter:
standard library only, Python 3.7 syntax.
"""

from __future__ import annotations

import json


class MlubenchError(Exception):
    """An error told to the user in one message.

    Args:
        what: what is wrong.
        where: the file, layer, image, option or key at fault.
        expected: what was expected there; may be left out where ``what`` says it.
        fix: what the user can do about it.
    """

    exit_status = 4

    def __init__(self, what: str, *, where: str, expected: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.fix = fix

    def __str__(self) -> str:
        """The whole message: where, what, what was expected, what to do."""
        lines = [f"{self.where}: {self.what}"]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.fix:
            lines.append(f"  to mend it: {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple:  # type: ignore[type-arg]  # 3.7 has no subscripted tuple
        """Pickle with the keyword-only arguments, which ``Exception`` would lose."""
        return _rebuild, (type(self), self.what, self.where, self.expected, self.fix)


def _rebuild(kind: type, what: str, where: str, expected: str, fix: str) -> MlubenchError:
    error: MlubenchError = kind(what, where=where, expected=expected, fix=fix)
    return error


def in_words(error: Exception) -> str:
    """Return why something could not be read, without Python's own marks and numbers."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON in line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]} in it"
    return str(error)


class InputError(MlubenchError):
    """Wrong input or configuration; the user can mend it."""

    exit_status = 2


class ConfigError(InputError):
    """An option, a catalogue or a suite is wrong."""


class NetworkError(InputError):
    """A prototxt, caffemodel or ONNX file cannot be used."""


class DatasetError(InputError):
    """Images, label lists or calibration images cannot be used."""


class StoreError(InputError):
    """A folder or file of the artifacts cannot be written or read back."""


class DownloadError(InputError):
    """A server that should give a file fails; another try may do."""


class DepotError(MlubenchError):
    """A store of artifacts, which could be used when the run began, failed."""


class DeviceError(MlubenchError):
    """The device side failed: engine, device or worker."""


class EngineError(DeviceError):
    """The engine refused to build, load or run a network."""


class WorkerError(DeviceError):
    """A worker process died, hung or broke its protocol."""
