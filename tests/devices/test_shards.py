"""The cut into shards is an exact cover."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlubench.devices.shards import USUAL_IMAGES, cut

_MANY = st.integers(1, 2000)


@given(_MANY, st.integers(1, 70), st.none() | st.integers(1, 3000), st.integers(1, 20))
def test_every_image_is_in_exactly_one_shard(
    images: int, batch_size: int, shards: int | None, devices: int
) -> None:
    made = cut(images, batch_size, shards, devices)
    covered = [image for shard in made for image in range(shard.first, shard.first + shard.images)]
    assert covered == list(range(images))
    assert [shard.index for shard in made] == list(range(len(made)))
    assert all(shard.images > 0 and shard.first % batch_size == 0 for shard in made)


@given(_MANY, st.integers(1, 70), st.integers(1, 3000))
def test_as_many_as_asked_for_while_there_are_batches(
    images: int, batch_size: int, shards: int
) -> None:
    assert len(cut(images, batch_size, shards, 1)) == min(shards, -(-images // batch_size))


def test_every_device_gets_a_shard_of_a_small_dataset() -> None:
    assert len(cut(40, 8, None, 4)) == 4
    assert len(cut(10 * USUAL_IMAGES, 8, None, 4)) == 10
