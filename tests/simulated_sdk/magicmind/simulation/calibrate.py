"""Calibration: the user's data, pulled by the documented protocol, and the ranges it gives."""

from __future__ import annotations

import re
import zlib

import numpy as np

from magicmind.simulation import faults
from magicmind.simulation.config import BuilderConfig
from magicmind.simulation.kinds import DataType, Dims, QuantizationAlgorithm, fits
from magicmind.simulation.ledger import misuse
from magicmind.simulation.network import Network
from magicmind.simulation.quantise import Observer
from magicmind.simulation.status import Code, Status, failure
from magicmind.simulation.strict import Fields, need, sdk_call

_CALL = "Calibrator.calibrate"


class CalibDataInterface:
    """Calibration data: a subclass defines all five methods and calls ``super().__init__()``."""

    def __init__(self):
        self._initialised = True

    def _missing(self):
        raise misuse(
            "CalibDataInterface",
            f"{type(self).__name__} does not define all of next, get_shape, get_data_type, "
            "get_sample, reset",
            "crash in the compiled side",
        )

    def next(self):
        """Prepare the next sample; return OK, or a Status of OUT_OF_RANGE at the end."""
        self._missing()

    def get_shape(self):
        """Return the sample's Dims."""
        self._missing()

    def get_data_type(self):
        """Return the sample's DataType."""
        self._missing()

    def get_sample(self):
        """Return the sample, a C-contiguous array."""
        self._missing()

    def reset(self):
        """Go back to the first sample; return OK."""
        self._missing()


class RemoteConfig(Fields):
    """Where a remote card calibrates: ``address`` is ``ip:port``."""

    _fields = {"address": str}


class Calibrator:
    """Finds the ranges of a network's activations.

    Args:
        data: one CalibDataInterface for each input, in order.
    """

    def __init__(self, data):
        for one in need(data, list, "Calibrator", "data"):
            need(one, CalibDataInterface, "Calibrator", "calibration data")
            if not getattr(one, "_initialised", False):
                raise misuse(
                    "Calibrator",
                    f"{type(one).__name__} did not call super().__init__()",
                    "raise a TypeError or crash",
                )
        self._data = list(data)
        self._algorithm = None
        self._remote = None

    @sdk_call("Calibrator.set_quantization_algorithm", returns="status")
    def set_quantization_algorithm(self, algorithm):
        """Set how ranges are found."""
        call = "Calibrator.set_quantization_algorithm"
        self._algorithm = need(algorithm, QuantizationAlgorithm, call, "algorithm")
        return Status()

    @sdk_call("Calibrator.set_remote", returns="status")
    def set_remote(self, remote):
        """Calibrate on a remote card."""
        call = "Calibrator.set_remote"
        need(remote, RemoteConfig, call, "remote")
        address = getattr(remote, "address", "")
        if not re.match(r"[^:\s]+:[0-9]+$", address):
            raise misuse(call, f"the address {address!r} is no ip:port", "wait for ever")
        self._remote = address
        return Status()

    @sdk_call("Calibrator.calibrate", returns="status")
    def calibrate(self, network, config):
        """Find the ranges, in place on the network, for the config that is built with."""
        need(network, Network, _CALL, "network")
        need(config, BuilderConfig, _CALL, "config")
        self._expect_order(network, config)
        self._expect_card()
        bits = 8 if "qint8" in config._precision(_CALL) else 16
        observer = Observer(network._model, bits)
        puller = _Puller(self._data, network._inputs, config)
        failed, first = puller.read(observer.see)
        if failed is None:
            # Whether an algorithm reads twice is not documented, so the data must allow it.
            eqnm = self._algorithm is QuantizationAlgorithm.EQNM_ALGORITHM
            failed, second = puller.read(observer.count if eqnm else lambda samples: None)
            if failed is None and first != second:
                raise misuse(
                    _CALL,
                    "after reset() the samples are others than before",
                    "mix the ranges of one set of samples with counts of another",
                )
            if failed is None and eqnm:
                observer.narrow()
        if failed is not None:
            return failure(failed)
        network._calibrated = (config, dict(observer.ranges))
        return Status()

    def _expect_order(self, network, config):
        network._parsed(_CALL)
        network._expect_open(_CALL)
        if network._calibrated is not None:
            raise misuse(_CALL, "the network is calibrated already", "mix both")
        if any(tensor._typed for tensor in (*network._inputs, *network._outputs)):
            raise misuse(
                _CALL,
                "set_data_type was called before; the samples call it after calibrate",
                "take the float32 samples for data of the compiled model's type",
            )
        if not config._quantised(_CALL):
            raise misuse(_CALL, "the precision is not quantised", "waste the time, or fail")
        if config._get("custom_ranges") is not None:
            raise misuse(_CALL, "the config has custom_ranges, too", "take either")
        if len(self._data) != len(network._inputs):
            raise misuse(
                _CALL,
                f"there are data for {len(self._data)} inputs, the network has "
                f"{len(network._inputs)}",
                "crash",
            )
        if self._algorithm is None:
            raise misuse(
                _CALL,
                "set_quantization_algorithm was not called",
                "take a default that is not documented",
            )
        asymmetric = config._get("precision_config.activation_quant_algo") == "asymmetric"
        if asymmetric and self._algorithm is QuantizationAlgorithm.EQNM_ALGORITHM:
            raise misuse(
                _CALL, "EQNM does not go with asymmetric activations", "find ranges that are wrong"
            )
        config._freeze(_CALL)

    def _expect_card(self):
        if self._remote is None and faults.active_card() is None:
            raise misuse(
                _CALL,
                "there is no card: no Device was activated by this thread and no remote is set",
                "fail, or take device 0 whoever uses it",
            )


class _Puller:
    """Reads all samples once, checking each, and tells what they were by a checksum."""

    def __init__(self, data, tensors, config):
        self._data = data
        self._tensors = tensors
        self._config = config

    def read(self, take):
        """Return (what failed or None, checksum); ``take`` gets a list, a sample per input."""
        checksum, count = 0, 0
        for one in self._data:
            status = need(one.reset(), Status, "CalibDataInterface.reset", "the answer")
            if not status.ok():
                return f"reset: {status}", 0
        while True:
            statuses = [
                need(one.next(), Status, "CalibDataInterface.next", "the answer")
                for one in self._data
            ]
            if not all(status.ok() for status in statuses):
                break
            samples = [self._sample(index) for index in range(len(self._data))]
            for sample in samples:
                checksum = zlib.crc32(sample, checksum)
            take(samples)
            count += 1
        for status in statuses:
            if status._code is not Code.OUT_OF_RANGE:
                return f"next: {status}", 0
        if not count:
            raise misuse(_CALL, "there is no sample", "succeed with ranges of nothing")
        return None, checksum

    def _sample(self, index):
        data, tensor = self._data[index], self._tensors[index]
        dims = need(data.get_shape(), Dims, "CalibDataInterface.get_shape", "the answer")
        kind = data.get_data_type()
        need(kind, DataType, "CalibDataInterface.get_data_type", "the answer")
        sample = data.get_sample()
        need(sample, np.ndarray, "CalibDataInterface.get_sample", "the answer")
        if kind is not DataType.FLOAT32 or sample.dtype != np.float32:
            raise misuse(
                _CALL,
                f"a sample is {sample.dtype}, said to be {kind.name}; it must be float32",
                "read its bytes as numbers of another type",
            )
        if not sample.flags.c_contiguous:
            raise misuse(_CALL, "a sample is not C-contiguous", "read its bytes in another order")
        if list(sample.shape) != dims.GetDims():
            raise misuse(
                _CALL, f"a sample is {list(sample.shape)}, said to be {dims}", "read beyond it"
            )
        if not fits(sample.shape, tensor._sizes):
            raise misuse(
                _CALL,
                f"a sample is {list(sample.shape)}; the network's original input is "
                f"{tensor._sizes}, whatever layout the config converts to",
                "calibrate on scrambled images",
            )
        self._expect_normalised(index, sample)
        return sample

    def _expect_normalised(self, index, sample):
        """Refuse values that no pixel of 0 to 255 has after mean and variance."""
        normalisation = self._config._get("insert_bn_before_firstnode", {}).get(str(index))
        if normalisation is None:
            return
        mean, deviation = np.array(normalisation["mean"]), np.sqrt(normalisation["var"])
        axes = (0, *range(2, sample.ndim))
        low, high = (0 - mean) / deviation, (255 - mean) / deviation
        slack = 1e-3 * (high - low)
        if (sample.min(axes) < low - slack).any() or (sample.max(axes) > high + slack).any():
            raise misuse(
                _CALL,
                "a sample holds values that no normalised pixel has; "
                "insert_bn_before_firstnode does not normalise calibration data",
                "calibrate on ranges that inference never sees",
            )
