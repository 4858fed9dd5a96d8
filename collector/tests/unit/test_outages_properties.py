"""Whatever befalls supplies, Pi, service and clock: the records contradict nothing."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_world import OWN, PANEL, Row, World
from pzem.config import MeterSettings

LENGTHS = st.integers(min_value=1, max_value=40)
Deed = Callable[[World, int], None]


def passes(world: World, slots: int) -> None:
    world.run(5 * slots)


def utility_fails(world: World, slots: int) -> None:
    world.legs = dict.fromkeys(world.legs)


def one_leg_fails(world: World, slots: int) -> None:
    world.legs = {"mainA": None, "mainB": 360.0}


def utility_returns(world: World, slots: int) -> None:
    world.legs = {"mainA": 600.0, "mainB": 360.0}


def generator_starts(world: World, slots: int) -> None:
    world.generator = 100.0 * slots


def generator_stops(world: World, slots: int) -> None:
    world.generator = None


def interlock_is_switched(world: World, slots: int) -> None:
    world.on_generator = not world.on_generator


def adapters_are_pulled(world: World, slots: int) -> None:
    world.unplugged = {meter.name for meter in world.meters[: slots % 4]}


def service_is_killed(world: World, slots: int) -> None:
    world.kill()
    world.run(5 * slots)
    world.start(world.last_slot_s if slots % 2 and world.clock_is_true else None)


def service_is_restarted(world: World, slots: int) -> None:
    world.stop()
    world.run(5 * slots)
    world.start()


def power_is_cut(world: World, slots: int) -> None:
    world.kill()
    world.run(5 * slots)
    world.boot()


def power_is_cut_and_the_time_lost(world: World, slots: int) -> None:
    world.kill()
    world.run(5 * slots)
    world.boot(clock_is_true=False, clock_off_s=-300 * slots)


def time_arrives(world: World, slots: int) -> None:
    if not world.clock_is_true:
        world.synchronise()


DEEDS: Sequence[Deed] = (
    passes,
    utility_fails,
    one_leg_fails,
    utility_returns,
    generator_starts,
    generator_stops,
    interlock_is_switched,
    adapters_are_pulled,
    service_is_killed,
    service_is_restarted,
    power_is_cut,
    power_is_cut_and_the_time_lost,
    time_arrives,
)
STORIES = st.lists(st.tuples(st.sampled_from(DEEDS), LENGTHS, LENGTHS), min_size=1, max_size=15)


def played(
    folder: str, meters: Sequence[MeterSettings], story: list[tuple[Deed, int, int]]
) -> World:
    """Play a story; after each deed time passes. It ends with all well and at a known time."""
    world = World(Path(folder), meters)
    world.start()
    world.run(60)
    for deed, slots, afterwards in story:
        deed(world, slots)
        world.run(5 * afterwards)
    time_arrives(world, 0)
    return world


def end_of(row: Row) -> float | None:
    return row.get("back_at", row.get("ended_at"))


@settings(max_examples=150, deadline=None)
@given(meters=st.sampled_from([PANEL, OWN]), story=STORIES)
def test_records_contradict_nothing(
    meters: Sequence[MeterSettings], story: list[tuple[Deed, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = played(folder, meters, story)
        world.run(300)
        for kind in ("outage", "generator_run", "pi_off"):
            rows = world.of(kind)
            for row in rows:
                end = end_of(row)
                assert end is None or row["began_at"] <= end
                assert float(row.get("seconds", 0.0)) >= 0
                if "seconds" in row and not row["provisional"]:
                    assert end is not None
                    assert abs(end - row["began_at"] - row["seconds"]) <= 5
                assert row.get("running_s", 0.0) <= world.now_s - row["began_at"] + 5
                for name in {"generator_at", "utility_at"} & row.keys():
                    assert row["began_at"] <= row[name] <= (world.now_s if end is None else end)
            for former, later in itertools.pairwise(rows):
                end = end_of(former)
                assert end is not None, "only the last one may go on"
                assert end <= later["began_at"]


@settings(max_examples=150, deadline=None)
@given(meters=st.sampled_from([PANEL, OWN]), story=STORIES)
def test_no_energy_is_counted_twice(
    meters: Sequence[MeterSettings], story: list[tuple[Deed, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = played(folder, meters, story)
        generator_stops(world, 0)
        world.run(300)
        counted_wh = int(world.register_wh) - 5000
        for kind in ("outage", "generator_run"):
            assert sum(row.get("generator_wh", 0.0) for row in world.of(kind)) <= counted_wh


@settings(max_examples=60, deadline=None)
@given(meters=st.sampled_from([PANEL, OWN]), story=STORIES)
def test_each_boot_ends_one_absence(
    meters: Sequence[MeterSettings], story: list[tuple[Deed, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = played(folder, meters, story)
        world.run(300)
        assert len(world.of("pi_off")) == world.boots
