"""The table of layers as a PyTorch module, and its weights as Caffe's blobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from conf.sample.network import INPUT_CHANNELS, Layer

Array = npt.NDArray[np.float32]


class Scale(nn.Module):
    """Caffe's Scale with bias: a factor and an offset for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, blob: Tensor) -> Tensor:
        """Return ``gamma * blob + beta``, channel by channel, of a blob [n, c, h, w]."""
        return torch.addcmul(self.beta.view(-1, 1, 1), self.gamma.view(-1, 1, 1), blob)


class Axpy(nn.Module):
    """The Axpy of the authors of SE-ResNet: ``gate * branch + shortcut``."""

    def forward(self, gate: Tensor, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Return the gated sum; ``gate`` is [n, c, 1, 1], the others are [n, c, h, w]."""
        return torch.addcmul(shortcut, gate, branch)


class Network(nn.Module):
    """One part for each layer of the table, run in its order, the blobs by name.

    It ends before the Softmax, which the training loss contains.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.layers = tuple(layer for layer in layers if layer.type != "Softmax")
        self.parts = nn.ModuleDict()
        channels = {"data": INPUT_CHANNELS}
        for layer in self.layers:
            inputs = channels[layer.bottoms[0]]
            self.parts[layer.name] = _part(layer, inputs)
            channels[layer.top] = int(layer.settings.get("num_output", inputs))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [n, 10] of ``images``, float32 [n, 3, 56, 56] minus the means."""
        blobs = {"data": images}
        for layer in self.layers:
            blobs[layer.top] = self.parts[layer.name](*(blobs[name] for name in layer.bottoms))
        return blobs[self.layers[-1].top]


def caffe_blobs(network: Network) -> Mapping[str, tuple[str, list[Array]]]:
    """Return type and float32 blobs, in Caffe's order, of each layer that learnt something."""
    learnt = ((layer, _blobs(network.parts[layer.name])) for layer in network.layers)
    return {layer.name: (layer.type, blobs) for layer, blobs in learnt if blobs}


def _blobs(part: nn.Module) -> list[Array]:
    match part:
        case nn.BatchNorm2d(running_mean=Tensor() as mean, running_var=Tensor() as variance):
            tensors = [mean, variance, torch.ones(1)]  # Caffe divides the others by the last
        case _:
            tensors = list(part.parameters())
    return [tensor.detach().numpy() for tensor in tensors]


def _part(layer: Layer, channels: int) -> nn.Module:
    match layer.type:
        case "Convolution":
            return _convolution(layer, channels)
        case "BatchNorm":
            return nn.BatchNorm2d(channels, affine=False)
        case "Scale":
            return Scale(channels)
        case "ReLU":
            return nn.ReLU()
        case "Sigmoid":
            return nn.Sigmoid()
        case "Axpy":
            return Axpy()
        case "Pooling":
            return _pooling(layer)
        case "InnerProduct":
            return nn.Sequential(nn.Flatten(), nn.Linear(channels, _number(layer, "num_output")))
    raise ValueError(f"{layer.name}: no PyTorch counterpart of {layer.type}")


def _pooling(layer: Layer) -> nn.Module:
    """The network's average poolings are global; Caffe rounds the size of the others up."""
    if layer.settings["pool"] == "AVE":
        return nn.AdaptiveAvgPool2d(1)
    return nn.MaxPool2d(_number(layer, "kernel_size"), _number(layer, "stride"), ceil_mode=True)


def _convolution(layer: Layer, channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(
        channels,
        _number(layer, "num_output"),
        _number(layer, "kernel_size"),
        stride=_number(layer, "stride"),
        padding=_number(layer, "pad"),
        bias=bool(layer.settings["bias_term"]),
    )
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def _number(layer: Layer, key: str) -> int:
    return int(layer.settings[key])
