"""All campaigns one after the other: ``python -m tests.chaos`` (make chaos).

They share fifteen minutes, or those of ``--minutes`` (CHAOS_MINUTES). The seed is printed; with
``--seed`` (CHAOS_SEED) the same is drawn again. ``--only`` (CHAOS_ONLY) names one campaign.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from tests.chaos import (
    disk,
    documents,
    downloads,
    flips,
    images,
    kills,
    networks,
    once,
    points,
    service,
    twice,
)
from tests.chaos.campaign import Chance, Counts
from tests.chaos.evaluating import prefect_server
from tests.chaos.kills import Undisturbed, undisturbed

Campaign = Callable[[Chance, Undisturbed], Counts]

#: By name, each with its part of the time; those of a fixed length come first.
CAMPAIGNS: dict[str, tuple[Campaign, float]] = {
    "images": (images.campaign, 0.06),
    "networks": (networks.campaign, 0.08),
    "documents": (documents.campaign, 0.05),
    "downloads": (downloads.campaign, 0.04),
    "once": (once.campaign, 0.05),
    "flips": (flips.campaign, 0.08),
    "disk": (disk.campaign, 0.08),
    "twice": (twice.campaign, 0.08),
    "service": (service.campaign, 0.12),
    "points": (points.campaign, 0.15),
    "kills": (kills.campaign, 0.3),
}


def main() -> int:
    """Run campaigns and say what they did; 0 where every promise held, 1 where not."""
    asked = _arguments()
    chosen = {asked.only: CAMPAIGNS[asked.only]} if asked.only else CAMPAIGNS
    end = time.monotonic() + 60 * asked.minutes
    _say(f"seed {asked.seed}; again: CHAOS_SEED={asked.seed} make chaos")
    folder = Path(tempfile.mkdtemp(prefix="mlubench-chaos-"))
    with prefect_server(folder / "server") as prefect, undisturbed(folder, prefect) as whole:
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in whole.seconds.items())
        _say(f"an undisturbed evaluation, in seconds: {stages}")
        broken = _all(chosen, asked.seed, folder, end, whole)
    _say(f"\npromises broken: {broken}")
    if broken:
        _say(f"files: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _all(
    chosen: Mapping[str, tuple[Campaign, float]],
    seed: int,
    folder: Path,
    end: float,
    whole: Undisturbed,
) -> int:
    """Run campaigns, each for its part of the time; return how many promises did not hold."""
    rest, broken = sum(part for _, part in chosen.values()), 0
    for name, (campaign, part) in chosen.items():
        begin = time.monotonic()
        mine = begin + max(end - begin, 0) * part / rest
        rest -= part
        _say(f"\n{name}, about {mine - begin:.0f} s")
        (folder / name).mkdir()
        counts = campaign(Chance(seed, folder / name, mine), whole)
        _tell(counts, time.monotonic() - begin)
        broken += len(counts.broken)
    return broken


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    usual = os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6)
    parser.add_argument("--seed", type=int, default=int(usual))
    minutes = float(os.environ.get("CHAOS_MINUTES") or 15)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--only", choices=CAMPAIGNS, default=os.environ.get("CHAOS_ONLY") or None)
    return parser.parse_args()


def _tell(counts: Counts, seconds: float) -> None:
    for what, times in sorted(counts.done.items()):
        _say(f"  {times:6d}  {what}")
    for what, figure in sorted(counts.most.items()):
        _say(f"  {figure:6.1f}  {what}")
    for one in counts.broken:
        _say(f"  BROKEN  {one}")
    _say(f"  {seconds:.0f} s")


def _say(text: str) -> None:
    Console(highlight=False).print(text, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
