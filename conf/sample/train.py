"""Train the embedded sample network on handwritten digits and write its two files.

Run from the project's root by a Python that has PyTorch (README.md beside this file says how):

    python -m conf.sample.train

The pictures are those that the pipeline scores: the JPEGs of ``mlubench.images.datasets.digits``,
64 x 64, decoded by ``cv2.imread``; the network sees 56 x 56 pixels, B, G, R, minus the means,
not scaled (its first batch normalisation does that). The 1197 training pictures are turned,
scaled, sheared, moved and bent at random in each epoch; the 600 held-out ones are cut at the
centre, as at inference.

The recipe was chosen without the held-out pictures: ``--tuning`` trains on the first 897
training pictures and scores the last 300. They are not drawn at random because neighbours in
the data set may be of one hand, and the held-out pictures are the last of it too.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from conf.sample.model import Array, Network, caffe_blobs
from conf.sample.network import (
    INPUT_SIDE,
    MEANS,
    NETWORK_NAME,
    exchange_axpy,
    prototxt,
    sample_layers,
)
from mlubench.images.datasets.digits import write_digits
from mlubench.networks.caffe import write_caffemodel
from mlubench.store import write_atomic

_LOG = logging.getLogger("train")
_STEM = "se_resnet50_digits"
_TUNING_PICTURES = 300
_KNOTS = 4  # in each direction


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: how often each picture is seen.
        batch: pictures in a step.
        peak_rate: the greatest learning rate of the one cycle.
        weight_decay: AdamW's, for the weights of convolutions and the classifier.
        smoothing: the part of the target that is spread over all classes.
        averaging: decay, per step, of the running mean of the weights, which is what is kept.
        rotation: greatest turn, in degrees.
        scale: greatest change of size, as a natural logarithm.
        shear: greatest shear, as a slope.
        shift: greatest move, in pixels.
        bend: greatest move of a knot of the elastic distortion, in pixels.
        seed: of the first weights, of the order and of the distortions.
    """

    epochs: int = 60
    batch: int = 64
    peak_rate: float = 0.004
    weight_decay: float = 0.05
    smoothing: float = 0.1
    averaging: float = 0.99
    rotation: float = 15.0
    scale: float = 0.2
    shear: float = 0.2
    shift: float = 4.0
    bend: float = 4.0
    seed: int = 1


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures, float32 [n, 3, 64, 64] in 0..255 (B, G, R), and labels, int64 [n]."""

    pixels: Tensor
    labels: Tensor

    def __getitem__(self, part: slice | Tensor) -> Pictures:
        """Return a part of the pictures: a slice, or the pictures of these indices."""
        return Pictures(self.pixels[part], self.labels[part])

    def __len__(self) -> int:
        return len(self.labels)


def read_pictures(folder: Path, labels: Path) -> Pictures:
    """Decode the pictures of a label list (lines ``name label``) as inference does."""
    lines = [line.split() for line in labels.read_text(encoding="utf-8").splitlines()]
    pixels = np.stack([np.asarray(cv2.imread(str(folder / name))) for name, _ in lines])
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    return Pictures(images, torch.tensor([int(label) for _, label in lines]))


def centre_cut(pixels: Tensor) -> Tensor:
    """Return the network's input as at inference: the centre [n, 3, 56, 56] minus the means."""
    edge = (pixels.shape[-1] - INPUT_SIDE) // 2
    return _minus_means(pixels[..., edge : edge + INPUT_SIDE, edge : edge + INPUT_SIDE])


def random_cut(pixels: Tensor, recipe: Recipe) -> Tensor:
    """Return the network's input [n, 3, 56, 56] from pictures distorted at random."""
    size = [len(pixels), len(MEANS), INPUT_SIDE, INPUT_SIDE]
    grid = functional.affine_grid(_random_affine(pixels, recipe), size, align_corners=False)
    grid = grid + _random_bend(pixels, recipe)
    return _minus_means(functional.grid_sample(pixels, grid, align_corners=False))


def _random_bend(pixels: Tensor, recipe: Recipe) -> Tensor:
    """Draw a smooth field of moves [n, 56, 56, 2], in the picture's coordinates -1..1."""
    count, side = len(pixels), pixels.shape[-1]
    knots = (2 * recipe.bend / side) * _uniform(count * 2 * _KNOTS * _KNOTS)
    field = functional.interpolate(
        knots.view(count, 2, _KNOTS, _KNOTS),
        size=(INPUT_SIDE, INPUT_SIDE),
        mode="bicubic",
        align_corners=True,
    )
    return field.permute(0, 2, 3, 1)


def _random_affine(pixels: Tensor, recipe: Recipe) -> Tensor:
    """Draw maps [n, 2, 3] from the input's coordinates to the picture's, both in -1..1."""
    count, side = len(pixels), pixels.shape[-1]
    angle = math.radians(recipe.rotation) * _uniform(count)
    scale = (INPUT_SIDE / side) * torch.exp(recipe.scale * _uniform(count))
    shear = recipe.shear * _uniform(count)
    shift = (2 * recipe.shift / side) * _uniform(2 * count).view(2, count)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = (
        torch.stack([cosine, shear * cosine - sine, shift[0]], 1),
        torch.stack([sine, shear * sine + cosine, shift[1]], 1),
    )
    return torch.stack(rows, 1)


def _uniform(count: int) -> Tensor:
    """Draw ``count`` numbers in -1..1."""
    return 2 * torch.rand(count) - 1


def _minus_means(pixels: Tensor) -> Tensor:
    return pixels - torch.tensor(MEANS).view(1, -1, 1, 1)


def train(pictures: Pictures, recipe: Recipe) -> Network:
    """Train a network from the recipe's seed; return it with the averaged weights."""
    torch.manual_seed(recipe.seed)
    network = Network(sample_layers())
    averaged = AveragedModel(
        network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True
    )
    optimiser = torch.optim.AdamW(_groups(network, recipe.weight_decay))
    steps = recipe.epochs * (len(pictures) // recipe.batch)
    schedule = OneCycleLR(optimiser, recipe.peak_rate, total_steps=steps)
    for epoch in range(1, recipe.epochs + 1):
        losses = []
        for batch in _batches(pictures, recipe.batch):
            losses.append(_step(network, optimiser, batch, recipe))
            schedule.step()
            averaged.update_parameters(network)
        _LOG.info("epoch %d of %d: loss %.3f", epoch, recipe.epochs, np.mean(losses))
    return cast(Network, averaged.module).eval()


def _step(
    network: Network, optimiser: torch.optim.Optimizer, batch: Pictures, recipe: Recipe
) -> float:
    logits = network(random_cut(batch.pixels, recipe))
    loss = functional.cross_entropy(logits, batch.labels, label_smoothing=recipe.smoothing)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def _groups(network: Network, decay: float) -> list[dict[str, object]]:
    """Scales and biases, which have one dimension, do not decay."""
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim == 1]
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _batches(pictures: Pictures, size: int) -> Iterator[Pictures]:
    """Every picture once, in random order, but for the last few that fill no batch."""
    order = torch.randperm(len(pictures))
    for chosen in order[: len(order) // size * size].split(size):
        yield pictures[chosen]


@torch.no_grad()
def probabilities(network: Network, images: Tensor) -> Array:
    """Return the network's softmax of ``images`` [n, 3, 56, 56], float32 [n, 10]."""
    scores: Array = torch.cat([network(part).softmax(1) for part in images.split(100)]).numpy()
    return scores


def accuracy(scores: Array, labels: Tensor) -> float:
    """Return the fraction of rows of ``scores`` [n, 10] that are greatest at the label."""
    return float((scores.argmax(1) == labels.numpy()).mean())


def write_network(network: Network, folder: Path) -> Path:
    """Write the prototxt and the caffemodel; return the path of the second."""
    write_atomic(folder / f"{_STEM}.prototxt", prototxt(sample_layers()).encode("ascii"))
    weights = folder / f"{_STEM}.caffemodel"
    write_caffemodel(weights, NETWORK_NAME, caffe_blobs(network))
    return weights


def opencv_probabilities(weights: Path, images: Tensor) -> Array:
    """Return what OpenCV's Caffe importer makes of the written weights, float32 [n, 10].

    OpenCV multiplies the wrong operand of Axpy (it computes ``b0 * b2 + b1``), so it is given
    the definition with those two exchanged; and it refuses Axpy in batches, so it is given one
    picture at a time.
    """
    definition = prototxt(exchange_axpy(sample_layers())).encode("ascii")
    network = cv2.dnn.readNetFromCaffe(
        np.frombuffer(definition, np.uint8), np.fromfile(weights, np.uint8)
    )
    scores = []
    for image in images.split(1):
        network.setInput(image.numpy())
        scores.append(network.forward().copy())
    return np.concatenate(scores)


def _tune(pictures: Pictures, recipe: Recipe) -> None:
    network = train(pictures[:-_TUNING_PICTURES], recipe)
    unseen = pictures[-_TUNING_PICTURES:]
    scores = probabilities(network, centre_cut(unseen.pixels))
    percent = 100 * accuracy(scores, unseen.labels)
    _LOG.info("accuracy on unseen training pictures: %.2f %%", percent)


def _produce(pictures: Pictures, held_out: Pictures, recipe: Recipe, folder: Path) -> None:
    network = train(pictures, recipe)
    images = centre_cut(held_out.pixels)
    scores = probabilities(network, images)
    _LOG.info("held-out accuracy: %.2f %%", 100 * accuracy(scores, held_out.labels))
    found = opencv_probabilities(write_network(network, folder), images)
    _LOG.info(
        "the files as OpenCV reads them: %.2f %%, probabilities within %.0e",
        100 * accuracy(found, held_out.labels),
        np.abs(found - scores).max(),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the embedded sample network.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--out", type=Path, default=here, help="the folder of the two files")
    parser.add_argument(
        "--tuning", action="store_true", help="score unseen training pictures; write nothing"
    )
    return parser.parse_args()


def main() -> None:
    """Train, report, and write the files unless tuning."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # with one thread the sums, so the files, are the same every time
    with tempfile.TemporaryDirectory() as folder:
        paths = write_digits(Path(folder) / "digits")
        pictures = read_pictures(paths.train, paths.train_labels)
        held_out = read_pictures(paths.val, paths.val_labels)
    if options.tuning:
        _tune(pictures, Recipe())
    else:
        _produce(pictures, held_out, Recipe(), options.out)


if __name__ == "__main__":
    main()
