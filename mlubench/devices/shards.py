"""The cut of the images into shards: an exact cover, along the boundaries of batches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

#: Images of a shard where nothing else is asked for: seconds of work, so that little is lost
#: when a worker dies and little is left over when the devices finish.
USUAL_IMAGES = 512


@dataclass(frozen=True)
class Shard:
    """Images ``first`` to ``first + images - 1`` of a dataset, the ``index``-th cut."""

    index: int
    first: int
    images: int


def cut(images: int, batch_size: int, shards: int | None, devices: int) -> tuple[Shard, ...]:
    """Return the shards of a dataset, in order, nearly equal, none of them empty.

    Shards begin at multiples of the batch size, so every batch holds the same images whatever
    the number of shards, and with it the arithmetic of every image is the same.

    Args:
        images: how many there are, at least 1.
        batch_size: images of a batch.
        shards: how many to make; None makes enough for the devices, of about
            :data:`USUAL_IMAGES` images. There are never more shards than batches.
        devices: how many workers will share them.
    """
    batches = -(-images // batch_size)
    wanted = shards or max(devices, -(-images // USUAL_IMAGES))
    count = min(wanted, batches)
    edges = [min(images, index * batches // count * batch_size) for index in range(count + 1)]
    return tuple(
        Shard(index, first, last - first) for index, (first, last) in enumerate(pairwise(edges))
    )
