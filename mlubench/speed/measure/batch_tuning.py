"""Which batch all precisions of an evaluation are run in, where nobody named one (``--tune``).

The batch is one for all of them, for they are compared image by image, and what is given up in one
precision may be gained in another. Every size is compiled for in every precision and measured in
the engine's usual way; another one than the usual is chosen only where the images surely get
through all precisions faster, and nothing disturbed the search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mlubench.devices.names import cores_of
from mlubench.devices.pool import DevicePool
from mlubench.engines.traits import traits
from mlubench.networks.compile import Compiled
from mlubench.runs.record import TuningRecord
from mlubench.speed.measure.tuning import Candidate, Search, chosen, measuring_apart, tuned, ways
from mlubench.store import Store


def other_batches(engine: str, usual: int) -> tuple[int, ...]:
    """Return the sizes that are compared with the usual one."""
    return tuple(batch for batch in traits(engine).batches if batch != usual)


def search_batch(
    devices: DevicePool,
    compiled: Mapping[int, Sequence[Compiled]],
    store: Store,
    progress: Callable[[int, int], None],
) -> tuple[int, dict[str, TuningRecord]]:
    """Return the batch, and the search of each precision under ``PRECISION, batch``.

    Args:
        devices: the devices, idle.
        compiled: by batch, the usual one first, the network in each precision, in one order.
        store: where results are kept.
        progress: called with (measurements done, measurements in all); each precision begins anew.

    Raises:
        DeviceError: a device failed.
        StoreError: the store cannot be written.
    """
    usual, *_ = ways(devices.host.name, cores_of(devices.names))
    described = list(devices.descriptions.values())
    found = {}
    with measuring_apart(devices) as measuring:
        for networks in zip(*compiled.values(), strict=True):
            tried = [
                Candidate(one.key, one.folder, batch, usual)
                for batch, one in zip(compiled, networks, strict=True)
            ]
            name = f"{networks[0].precision}, batch"
            found[name] = tuned(Search(tried, described), store, measuring, progress)
    # What a disturbed machine says may be another thing the next time, and with the batch answers
    # may change.
    disturbed = any(one.disturbed for one in found.values())
    place = 0 if disturbed else quickest(list(found.values()))
    shared = {name: one.model_copy(update={"chosen": place}) for name, one in found.items()}
    return list(compiled)[place], shared


def quickest(searches: Sequence[TuningRecord]) -> int:
    """Return the place of the best candidate for an image that goes through all searches.

    Its time is the sum of its times in each, round by round; they are compared as
    :func:`~mlubench.speed.measure.tuning.chosen` does.

    Args:
        searches: with the same number of candidates and of rounds, the usual one first.
    """
    seconds = np.sum(
        [
            [np.reciprocal(np.asarray(one.images_per_second)) for one in search.tried]
            for search in searches
        ],
        axis=0,
    )  # [candidates, rounds]
    return chosen((1 / seconds).tolist())[0]
