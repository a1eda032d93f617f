"""The compiled model: Model."""

from __future__ import annotations

import threading
from pathlib import Path

from magicmind.simulation import faults, offline
from magicmind.simulation.kinds import DataType, Dims
from magicmind.simulation.ledger import misuse
from magicmind.simulation.runtime import Engine
from magicmind.simulation.status import Status, failure
from magicmind.simulation.strict import Fields, lock, need, sdk_call


class _EngineConfig(Fields):
    """``device_type`` must be ``MLU``."""

    _fields = {"device_type": str}


class Model:
    """A compiled model, of a Builder or of a file."""

    EngineConfig = _EngineConfig

    def __init__(self):
        self._meta = None
        self._graph = b""
        self._busy = lock()
        self._session = None
        self._session_lock = threading.Lock()

    def _set(self, meta, graph):
        self._meta, self._graph = meta, graph

    @sdk_call("Model.serialize_to_file", returns="status")
    def serialize_to_file(self, path):
        """Write the model."""
        call = "Model.serialize_to_file"
        need(path, str, call, "path")
        meta = self._loaded(call)
        try:
            Path(path).write_bytes(offline.pack(meta, self._graph))
        except OSError as error:
            return failure(f"{path}: {error.strerror}")
        return Status()

    @sdk_call("Model.deserialize_from_file", returns="status")
    def deserialize_from_file(self, path):
        """Read a model; it is bad where it is of another version or for other chips."""
        call = "Model.deserialize_from_file"
        need(path, str, call, "path")
        if self._meta is not None:
            raise misuse(call, "the model holds one already", "leak it, or mix both")
        try:
            meta, graph = offline.unpack(Path(path).read_bytes())
        except OSError as error:
            return failure(f"{path}: {error.strerror}")
        except offline.UnloadableError as error:
            return failure(f"{path}: {error}")
        settings = faults.world().settings
        if settings.visible and meta["chips"] and settings.arch not in meta["chips"]:
            return failure(f"{path}: for {sorted(meta['chips'])}, the cards are {settings.arch}")
        self._set(meta, graph)
        return Status()

    @sdk_call("Model.create_i_engine", returns="object")
    def create_i_engine(self, config=None):
        """Return an Engine on this thread's card, or None where the model does not fit it."""
        call = "Model.create_i_engine"
        meta = self._loaded(call)
        if config is not None:
            need(config, _EngineConfig, call, "config")
            if getattr(config, "device_type", None) != "MLU":
                raise misuse(call, "the config's device_type is not 'MLU'", "take any device")
        card = faults.active_card()
        if card is None:
            raise misuse(call, "no Device was activated by this thread", "take device 0")
        if not _runs_on(meta["chips"], faults.world().settings):
            return None
        return Engine(self, card)

    def get_input_num(self):
        """Return the number of inputs."""
        return len(self._loaded("Model.get_input_num")["inputs"])

    def get_output_num(self):
        """Return the number of outputs."""
        return len(self._loaded("Model.get_output_num")["outputs"])

    def get_input_names(self):
        """Return the inputs' names."""
        return [one["name"] for one in self._loaded("Model.get_input_names")["inputs"]]

    def get_output_names(self):
        """Return the outputs' names."""
        return [one["name"] for one in self._loaded("Model.get_output_names")["outputs"]]

    def get_input_dimensions(self):
        """Return the inputs' shapes; -1 is dynamic."""
        meta = self._loaded("Model.get_input_dimensions")
        return [Dims(one["dims"]) for one in meta["inputs"]]

    def get_output_dimensions(self):
        """Return the outputs' shapes; -1 is dynamic."""
        meta = self._loaded("Model.get_output_dimensions")
        return [Dims(one["dims"]) for one in meta["outputs"]]

    def get_input_data_types(self):
        """Return the inputs' types."""
        meta = self._loaded("Model.get_input_data_types")
        return [DataType[one["type"]] for one in meta["inputs"]]

    def get_output_data_types(self):
        """Return the outputs' types."""
        meta = self._loaded("Model.get_output_data_types")
        return [DataType[one["type"]] for one in meta["outputs"]]

    def get_input_data_type(self, index):
        """Return an input's type."""
        types = self.get_input_data_types()
        need(index, int, "Model.get_input_data_type", "index")
        if not 0 <= index < len(types):
            raise misuse("Model.get_input_data_type", f"there is no input {index}", "crash")
        return types[index]

    def _loaded(self, call):
        if self._meta is None:
            raise misuse(
                call, "the model is empty: nothing was loaded, or it failed unseen", "crash"
            )
        return self._meta

    def _runner(self):
        """Return the ONNX Runtime session, which all contexts share."""
        from magicmind.simulation import graphs

        with self._session_lock:
            if self._session is None:
                self._session = graphs.session(self._graph)
            return self._session

    def _dumper(self):
        """Return what _runner() does, with the inner tensors behind the outputs."""
        from magicmind.simulation import graphs

        return graphs.with_outputs(self._graph, self._meta["inner"])


def _runs_on(chips, settings):
    """Return whether a card can take the model: its chip, and no more clusters than it has."""
    if not chips:
        return True
    clusters = chips.get(settings.arch)
    return clusters is not None and (not clusters or min(clusters) <= settings.clusters)
