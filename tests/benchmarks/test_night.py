"""The simulation of a night where its answer can be computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.night import Night, Place, Rates, simulate

NIGHT = Night(networks=1, images=4096, decodings=0, shard=128)
RATES = Rates(cards=(256.0,), load=2.0, host=0.0, keep=0.0, decode=0.0, build=0.0)
CORES = Place(hosts=1, cards=2, cores=2, on_cores=True)


@pytest.mark.parametrize(
    ("place", "rates", "seconds"),
    [
        # 2 s of loading, 16 s of inference.
        (replace(CORES, cards=1), RATES, 18.0),
        (CORES, RATES, 10.0),
        # Two cores that hinder each other; a lone one is not hindered.
        (CORES, replace(RATES, slowdown=1.25), 12.0),
        (replace(CORES, cards=1), replace(RATES, slowdown=1.25), 18.0),
        # A card waits for its shard's way; 32 shards.
        (replace(CORES, cards=1), replace(RATES, slot=0.25, wait=0.25), 34.0),
        (CORES, replace(RATES, slot=0.25, wait=0.25), 18.0),
        # Servers take a quarter second of a core for each shard, of a free one or of a card's.
        (replace(CORES, cards=1), replace(RATES, others=0.25), 18.0),
        (CORES, replace(RATES, others=0.25), 14.0),
        # Cards that are no cores leave those to the host: 4096 images of 2 ms on two.
        (replace(CORES, on_cores=False), replace(RATES, host=0.002), 10.0),
        (replace(CORES, on_cores=False, cores=1), replace(RATES, host=0.004), 18.4),
    ],
)
def test_seconds_are_those_of_arithmetic(place: Place, rates: Rates, seconds: float) -> None:
    assert simulate(NIGHT, place, rates).total == pytest.approx(seconds, rel=0.05)


def test_what_a_lost_host_had_is_done_again() -> None:
    place = Place(hosts=2, cards=1, cores=2, lost_after=6.0)
    told = simulate(NIGHT, place, RATES)
    # 4 s on two cards are half of it; the rest is done by one, with what was in flight.
    assert told.total == pytest.approx(14.0, abs=1.1)
    assert told.shards > NIGHT.images / NIGHT.shard
