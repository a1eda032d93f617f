"""Plug-ins and the profiler, which record nothing here."""

from __future__ import annotations

from pathlib import Path

from magicmind.simulation.kinds import DeviceTracerLevel, HostTracerLevel
from magicmind.simulation.ledger import misuse
from magicmind.simulation.strict import need, sdk_call


class LoadPluginLibrary:
    """Loads libraries of further operations; before a network is parsed or a model is read."""

    @sdk_call("LoadPluginLibrary.load", returns="flag")
    def load(self, path):
        """Return whether there is such a file; nothing is loaded from it."""
        need(path, str, "LoadPluginLibrary.load", "path")
        return Path(path).is_file()


class ProfilerOptions:
    """What to trace."""

    def __init__(self, host, device):
        need(host, HostTracerLevel, "ProfilerOptions", "host")
        need(device, DeviceTracerLevel, "ProfilerOptions", "device")


class Profiler:
    """Traces steps into a folder; here it only checks the order of the calls."""

    def __init__(self, options, folder):
        need(options, ProfilerOptions, "Profiler", "options")
        need(folder, str, "Profiler", "folder")
        self._state = "new"

    @sdk_call("Profiler.start", returns="flag")
    def start(self):
        """Begin."""
        return self._go("start", ("new",), "started")

    @sdk_call("Profiler.step_begin", returns="flag")
    def step_begin(self, number):
        """Begin a step."""
        need(number, int, "Profiler.step_begin", "number")
        return self._go("step_begin", ("started",), "in a step")

    @sdk_call("Profiler.step_end", returns="flag")
    def step_end(self):
        """End a step."""
        return self._go("step_end", ("in a step",), "started")

    @sdk_call("Profiler.stop", returns="flag")
    def stop(self):
        """End."""
        return self._go("stop", ("started",), "stopped")

    def _go(self, call, before, after):
        if self._state not in before:
            raise misuse(f"Profiler.{call}", f"it is {self._state}", "record nothing")
        self._state = after
        return True
