"""Setting a counter back between two cycles, through the thread of its port."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pzem.places import Places
from pzem.ports import RESET_S, Ports
from pzem.testing import Simulator
from support import SHOWN, meter

FULL_WH = 9_900_123.0
FULL = dataclasses.replace(SHOWN, energy_wh=FULL_WH)
EMPTY = dataclasses.replace(SHOWN, energy_wh=0.0)


Said = Callable[[], list[str]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    caplog.set_level(logging.INFO, "pzem")
    return lambda: [m for m in caplog.messages if "energy counter" in m]


@contextmanager
def reading(dev: Path) -> Iterator[tuple[Simulator, Ports]]:
    layout = {
        dev / "tty0": [meter("mainA", 4, energy_wh=FULL_WH), meter("mainB", 5)],
        dev / "tty1": [meter("gen", 6)],
    }
    names = {"mainA": 4, "mainB": 5, "gen": 6}
    with (
        Simulator.with_meters(layout) as simulator,
        Ports([f"{dev}/tty*"], (), names, Places(None)) as ports,
    ):
        ports.discover()
        assert poll(ports) == {"mainA": FULL, "mainB": SHOWN, "gen": SHOWN}
        yield simulator, ports


def poll(ports: Ports) -> dict[str, object]:
    return dict(ports.poll(time.monotonic() + 3.0))


def test_a_counter_is_set_back_and_seen_to_be(dev: Path, said: Said) -> None:
    with reading(dev) as (simulator, ports):
        assert ports.reset_energy("mainA")
        assert simulator.meter("mainA").energy_wh == 0
        assert poll(ports) == {"mainA": EMPTY, "mainB": SHOWN, "gen": SHOWN}
    assert said() == ["mainA: the energy counter was set back"]


def test_the_answer_of_an_adapter_alone_is_no_proof(dev: Path, said: Said) -> None:
    """An echo looks like the meter's confirmation: only the count read back tells."""
    with reading(dev) as (simulator, ports):
        simulator.order("echo-alone mainA")
        keep = simulator.meter("mainA")
        keep.answer = lambda request: request  # type: ignore[method-assign]
        for _ in range(3):
            assert not ports.reset_energy("mainA")
        assert simulator.meter("mainA").energy_wh == FULL_WH
    assert len(said()) == 1
    assert said()[0].startswith("mainA: the energy counter could not be set back: ")


def test_a_lost_answer_is_made_up_for_by_reading_back(dev: Path) -> None:
    with reading(dev) as (simulator, ports):
        simulator.order("silence mainA 1")
        assert ports.reset_energy("mainA", time.monotonic() + 2.0)


@pytest.mark.parametrize("late_s", [0.5, 0.6, 0.65, 0.7, 0.75])
def test_a_late_reading_of_before_is_not_taken_for_one_of_after(dev: Path, late_s: float) -> None:
    with reading(dev) as (simulator, ports):
        simulator.order(f"late mainA {late_s} 1")
        assert poll(ports)["mainA"] == FULL  # at the second try
        assert ports.reset_energy("mainA", time.monotonic() + 2.0)
        assert [poll(ports)["mainA"] for _ in range(3)] == [EMPTY] * 3


COULD_NOT = "mainA: the energy counter could not be set back: "


@pytest.mark.parametrize(
    ("order", "cure"),
    [
        ("error mainA 4", "heal"),
        ("silence mainA", "heal"),
        ("unplug tty0", "plug tty0"),
        ("hang tty0", "release tty0"),
    ],
)
def test_what_could_not_be_done_is_false_in_time_and_said_once(
    dev: Path, said: Said, order: str, cure: str
) -> None:
    with reading(dev) as (simulator, ports):
        simulator.order(order)
        for _ in range(3):
            deadline = time.monotonic() + RESET_S
            assert not ports.reset_energy("mainA", deadline)
            poll(ports)
        assert len(said()) == 1
        assert said()[0].startswith(COULD_NOT)
        simulator.order(cure)
        simulator.meter("mainA").show(FULL)
        assert FULL in (poll(ports)["mainA"], poll(ports)["mainA"])
        assert ports.reset_energy("mainA")
        assert simulator.meter("mainA").energy_wh == 0
    assert said()[1:] == ["mainA: the energy counter was set back"]


def test_a_thread_that_is_stuck_keeps_nobody_waiting(
    dev: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = threading.Event()

    def held(self: object, timeout_s: float) -> None:
        back.wait()

    with reading(dev) as (_, ports):
        monkeypatch.setattr("pzem.meter.Meter.reset_energy", held)
        assert not ports.reset_energy("mainA", time.monotonic() + RESET_S)
        assert poll(ports)["gen"] == SHOWN
        assert not ports.reset_energy("mainA")
        back.set()
        while poll(ports)["mainA"] != FULL:
            pass
    assert said() == [
        f"mainA: the energy counter could not be set back: {dev}/tty0 did not react in time"
    ]


def test_without_time_nothing_is_begun(dev: Path) -> None:
    with reading(dev) as (simulator, ports):
        assert not ports.reset_energy("mainA", time.monotonic() + 0.1)
        assert simulator.meter("mainA").energy_wh == FULL_WH
