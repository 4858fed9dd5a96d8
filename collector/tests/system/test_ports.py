"""Finding meters, and finding them again, on ptys that come, go and change names."""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from pzem.adapters import present_ports
from pzem.line import Line
from pzem.meter import NO_PORT, NOT_ASKED, PORT_BUSY, PORT_FAILED, Faulty, Outcome, Silent
from pzem.places import Places
from pzem.ports import FIRST_PROBE_S, Ports
from pzem.registers import Reading
from pzem.testing import SimulatedMeter, Simulator
from support import SHOWN, meter

METERS = {"mainA": 4, "mainB": 5, "gen": 6}
BUDGET_S = 3.0

Layout = Mapping[str, list[SimulatedMeter]]
Play = Callable[[Layout], AbstractContextManager[Simulator]]


def three() -> dict[str, list[SimulatedMeter]]:
    return {f"tty{n}": [meter(name, METERS[name])] for n, name in enumerate(METERS)}


def one() -> dict[str, list[SimulatedMeter]]:
    return {"tty0": [meter(name, address) for name, address in METERS.items()]}


@contextmanager
def playing(dev: Path, layout: Layout) -> Iterator[Simulator]:
    ports = {dev / name: meters for name, meters in layout.items()}
    with Simulator.with_meters(ports) as simulator:
        yield simulator


@pytest.fixture
def play(dev: Path) -> Play:
    return lambda layout: playing(dev, layout)


class Hours:
    """A monotonic clock that can be moved on by hours."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


def poll(ports: Ports) -> dict[str, Outcome]:
    return ports.poll(time.monotonic() + BUDGET_S)


def readings(outcomes: Mapping[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if isinstance(outcome, Reading)]


def requests(simulator: Simulator, port: str) -> list[int]:
    """Return the addresses that were answered for on `port`."""
    replies = simulator.journal.replies
    return [int(r.request[:2], 16) for r in replies if Path(r.port).name == port]


class Foreign:
    """A device that is no meter: it takes bytes and says nothing, or `babble`."""

    def __init__(self, link: Path, babble: bytes = b"") -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self._babble = babble
        link.symlink_to(os.ttyname(self._slave))

    def received(self) -> bytes:
        try:
            return os.read(self.master, 65536)
        except BlockingIOError:
            return b""

    def talk(self) -> None:
        os.write(self.master, self._babble)


@pytest.mark.parametrize("layout", [three, one])
def test_meters_are_found_and_read(
    dev: Path,
    play: Play,
    layout: Callable[[], dict[str, list[SimulatedMeter]]],
) -> None:
    with play(layout()), Ports([f"{dev}/tty*"], (), METERS, Places(None)) as ports:
        ports.discover()
        assert poll(ports) == dict.fromkeys(METERS, SHOWN)


def test_a_lost_reply_is_asked_for_again(dev: Path, play: Play) -> None:
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        simulator.order("silence mainA 1")
        simulator.order("bit-flip mainB 1")
        assert readings(poll(ports)) == list(METERS)


def test_a_silent_meter_is_asked_once_and_last(dev: Path, play: Play) -> None:
    with play(one()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        simulator.order("silence mainA")
        assert poll(ports)["mainA"] == Silent()
        before = len(simulator.journal.replies)
        assert readings(poll(ports)) == ["mainB", "gen"]
        asked = [r.meter for r in simulator.journal.replies[before:]]
        assert asked[:2] == ["mainB", "gen"]
        assert asked.count("mainA") <= 1


@pytest.mark.parametrize(
    "fault",
    [
        "late mainA 0.7",
        "late mainA 1.02 1",
        "late mainA 1.02 2",
        "late mainA 0.95",
        "late mainA 1.05",
        "late mainA 1.2",
    ],
)
def test_a_late_reply_is_never_taken_for_a_later_slot(dev: Path, play: Play, fault: str) -> None:
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        simulated = simulator.meter("mainA")
        simulator.order(fault)
        for cycle in range(6):
            start = time.monotonic()
            simulated.show(Reading(120.0, 1.0, 100.0 + cycle, 0.0, 60.0, 1.0, alarm=False))
            outcome = ports.poll(start + 0.6)["mainA"]
            if isinstance(outcome, Reading):
                assert outcome.watts == 100.0 + cycle
            time.sleep(max(0.0, start + 1.0 - time.monotonic()))
        simulator.order("heal mainA")
        simulated.show(SHOWN)
        time.sleep(1.1)  # the last late reply
        assert SHOWN in (poll(ports)["mainA"], poll(ports)["mainA"])


def test_renumbered_ports_lose_no_cycle(dev: Path, play: Play) -> None:
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        simulator.order("renumber")
        assert readings(poll(ports)) == list(METERS)
        assert readings(poll(ports)) == list(METERS)


def test_a_replugged_adapter_is_found_under_its_new_name(dev: Path, play: Play) -> None:
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        simulator.order("unplug tty2")
        assert poll(ports)["gen"] == Silent(NO_PORT)
        simulator.order("plug tty2 as tty7")
        assert readings(poll(ports)) == list(METERS)
        assert ports.homes()["gen"] == str(dev / "tty7")


def test_a_port_replugged_between_two_cycles_loses_none(dev: Path, play: Play) -> None:
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        for _ in range(3):
            simulator.order("unplug tty0")
            simulator.order("plug tty0")
            assert readings(poll(ports)) == list(METERS)


def test_places_are_remembered_over_a_restart(dev: Path, tmp_path: Path, play: Play) -> None:
    file = tmp_path / "ports.json"
    with play(three()) as simulator:
        with Ports([f"{dev}/*"], (), METERS, Places(file)) as ports:
            ports.discover()
        simulator.order("silence gen")
        with Ports([f"{dev}/*"], (), METERS, Places(file)) as ports:
            ports.discover()
            simulator.order("heal gen")
            assert readings(poll(ports)) == list(METERS)
    assert json.loads(file.read_text())["6"]["port"] == str(dev / "tty2")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"4": 3}', '{"4": {}}', '{"4": {"port": "/x", "usb": []}}']
)
def test_a_spoilt_memory_costs_a_search_only(
    dev: Path,
    tmp_path: Path,
    play: Play,
    content: str,
) -> None:
    file = tmp_path / "ports.json"
    file.write_text(content)
    with play(three()), Ports([f"{dev}/*"], (), METERS, Places(file)) as ports:
        ports.discover()
        assert readings(poll(ports)) == list(METERS)


def test_a_memory_that_cannot_be_written_is_said_once(
    dev: Path,
    caplog: pytest.LogCaptureFixture,
    play: Play,
) -> None:
    places = Places(dev / "none" / "x.json")
    with play(three()), Ports([f"{dev}/*"], (), METERS, places) as ports:
        ports.discover()
        assert readings(poll(ports)) == list(METERS)
    assert [r.getMessage().count("cannot be written") for r in caplog.records].count(1) == 1


@pytest.mark.parametrize("layout", [three, one])
def test_a_generator_never_heard_before_is_found_in_its_first_cycle(
    dev: Path,
    play: Play,
    layout: Callable[[], dict[str, list[SimulatedMeter]]],
) -> None:
    with play(layout()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        simulator.order("silence gen")
        ports.discover()
        assert readings(poll(ports)) == ["mainA", "mainB"]
        simulator.order("heal gen")
        assert readings(poll(ports)) == list(METERS)


def test_a_foreign_port_gets_nothing_while_all_meters_answer(dev: Path, play: Play) -> None:
    with play(three()), Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        foreign = Foreign(dev / "tty9")
        for _ in range(3):
            assert readings(poll(ports)) == list(METERS)
        assert foreign.received() == b""


def test_a_foreign_port_is_probed_at_growing_intervals_for_a_silent_meter(
    dev: Path, play: Play
) -> None:
    hours = Hours()
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None), hours) as ports:
        ports.discover()
        foreign = Foreign(dev / "tty9")
        poll(ports)
        simulator.order("silence gen")
        probes = []
        for _ in range(40):
            hours.ahead_s += 30.0
            ports.poll(hours() + BUDGET_S)
            probes.append(len(foreign.received()) // 8)
        at_s = [30 * n for n, count in enumerate(probes) if count]
        assert set(probes) == {0, 1}
        assert at_s[0] >= FIRST_PROBE_S
        gaps = [later - earlier for earlier, later in itertools.pairwise(at_s)]
        assert gaps == [120, 240, 480]


def test_a_foreign_device_that_gets_the_name_of_a_pulled_adapter_is_no_home(
    dev: Path, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = {f"{dev}/tty{number}": f"1-1.{number}:1.0" for number in range(3)}
    monkeypatch.setattr("pzem.ports.usb_socket", sockets.get)
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        simulator.order(f"unplug {dev}/tty1")
        sockets[f"{dev}/tty1"] = "1-1.4:1.0"
        foreign = Foreign(dev / "tty1")
        assert [poll(ports)["mainB"] for _ in range(4)] == [Silent(NO_PORT)] * 4
        assert len(foreign.received()) == 8, "one question, as it appeared"
        (dev / "tty1").unlink()
        sockets[f"{dev}/tty1"] = "1-1.1:1.0"
        simulator.order(f"plug {dev}/tty1")
        assert readings(poll(ports)) == list(METERS)


def test_a_meter_that_stumbles_does_not_put_off_the_search_for_another(
    dev: Path, play: Play
) -> None:
    hours = Hours()
    with play(three()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None), hours) as ports:
        ports.discover()
        simulator.order("silence gen")
        poll(ports)
        simulator.order("unplug tty2")
        simulator.order("plug tty2 as tty7")
        poll(ports)
        simulator.order("heal gen")
        for _ in range(8):
            hours.ahead_s += 20.0
            simulator.order("silence mainA 2")
            outcome = ports.poll(hours() + BUDGET_S)["gen"]
            ports.poll(hours() + BUDGET_S)
        assert isinstance(outcome, Reading)


def test_a_slow_meter_delays_none_on_its_line(dev: Path, play: Play) -> None:
    with play(one()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        simulator.order("late mainA 0.5")
        for _ in range(4):
            outcomes = ports.poll(time.monotonic() + 1.2)
            assert [isinstance(outcomes[name], Reading) for name in ("mainB", "gen")] == [
                True,
                True,
            ]
            time.sleep(0.8)


def test_a_port_that_serves_a_meter_is_not_probed_for_one_that_was_seen_elsewhere(
    dev: Path, play: Play
) -> None:
    hours = Hours()
    layout = three()
    spy = meter("spy", METERS["gen"])
    layout["tty0"].append(spy)
    spy.powered = False
    with play(layout) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None), hours) as ports:
        ports.discover()
        simulator.order("silence gen")
        poll(ports)
        spy.powered = True
        for _ in range(20):
            hours.ahead_s += 30.0
            ports.poll(hours() + BUDGET_S)
        assert METERS["gen"] not in requests(simulator, "tty0")


def test_noise_on_a_foreign_port_is_no_fault_of_a_silent_meter(dev: Path, play: Play) -> None:
    foreign = Foreign(dev / "tty9", babble=b"$GPGGA,123519,4807.038,N,01131.000,E*47\r\n")
    places = Places(None)
    places.keep(METERS["gen"], "/dev/elsewhere", None)
    with (
        play({"tty0": [meter("mainA", 4)]}),
        Ports([f"{dev}/*"], (), {"mainA": 4, "gen": 6}, places) as ports,
    ):
        foreign.talk()
        ports.discover()
        foreign.talk()
        assert poll(ports) == {"mainA": SHOWN, "gen": Silent(NO_PORT)}


def test_excluded_ports_get_no_byte(dev: Path, play: Play) -> None:
    foreign = Foreign(dev / "tty9")
    with play(three()), Ports([f"{dev}/*"], [f"{dev}/tty9"], METERS, Places(None)) as ports:
        ports.discover()
        assert readings(poll(ports)) == list(METERS)
    assert foreign.received() == b""


def test_a_port_is_excluded_by_any_of_its_names(dev: Path) -> None:
    Foreign(dev / "tty0")
    (dev / "by-path").symlink_to(dev / "tty0")
    for patterns, excluded in (("tty*", "by-*"), ("by-*", "tty0"), ("tty0", "by-path")):
        assert present_ports([f"{dev}/{patterns}"], [f"{dev}/{excluded}"]) == {}


def test_two_names_of_one_port_count_once(dev: Path) -> None:
    Foreign(dev / "tty0")
    (dev / "by-path").symlink_to(dev / "tty0")
    (dev / "file").touch()
    (dev / "dangling").symlink_to(dev / "none")
    assert list(present_ports([f"{dev}/tty*", f"{dev}/*"])) == [f"{dev}/tty0"]


def test_a_port_in_other_hands_is_silent_and_comes_back(
    dev: Path,
    caplog: pytest.LogCaptureFixture,
    play: Play,
) -> None:
    with play(three()), Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        ports.close()
        other = Line(str(dev / "tty2"))
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                assert poll(ports)["gen"] == Silent(PORT_BUSY)
            other.close()
            assert readings(poll(ports)) == list(METERS)
    said = [r.getMessage() for r in caplog.records]
    assert sum("is in use" in line for line in said) == 1
    assert f"{dev}/tty2 works again" in said


def test_ports_in_other_hands_at_the_start_say_nothing_of_the_meters(dev: Path, play: Play) -> None:
    with play(three()):
        others = [Line(f"{dev}/tty{n}") for n in range(3)]
        with Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
            assert set(ports.discover().values()) == {Silent(PORT_BUSY)}
            for other in others:
                other.close()
            assert readings(poll(ports)) == list(METERS)


def test_what_is_no_serial_port_says_nothing_of_the_meters() -> None:
    with Ports(["/dev/null"], (), METERS, Places(None)) as ports:
        assert set(poll(ports).values()) == {Silent(PORT_FAILED)}


def test_without_time_nobody_is_asked(dev: Path, play: Play) -> None:
    with play(three()), Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        ports.discover()
        assert set(ports.poll(time.monotonic() + 0.05).values()) == {Silent(NOT_ASKED)}


def test_meters_that_fall_silent_cost_the_others_on_their_line_nothing(
    dev: Path, play: Play
) -> None:
    names = {f"m{address}": address for address in range(1, 7)}
    layout = {"tty0": [meter(name, address) for name, address in names.items()]}
    with play(layout) as simulator, Ports([f"{dev}/*"], (), names, Places(None)) as ports:
        ports.discover()
        for name in list(names)[1:]:
            simulator.order(f"silence {name}")
        assert readings(poll(ports)) == ["m1"]


def test_a_meter_never_heard_is_found_beside_others_though_a_foreign_port_is_free(
    dev: Path, play: Play
) -> None:
    Foreign(dev / "tty9")
    with play(one()) as simulator, Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        simulator.order("silence gen")
        ports.discover()
        assert readings(poll(ports)) == ["mainA", "mainB"]
        simulator.order("heal gen")
        assert readings(poll(ports)) == list(METERS)


def test_two_meters_with_one_address_on_two_ports_are_said(
    dev: Path,
    caplog: pytest.LogCaptureFixture,
    play: Play,
) -> None:
    with (
        play({"tty0": [meter("a", 4)], "tty1": [meter("b", 4)]}),
        Ports([f"{dev}/*"], (), {"mainA": 4}, Places(None)) as ports,
    ):
        ports.discover()
        assert readings(poll(ports)) == ["mainA"]
    assert "two meters have it" in caplog.text


def test_two_meters_with_one_address_on_one_line_are_faulty(dev: Path, play: Play) -> None:
    with (
        play({"tty0": [meter("a", 4), meter("b", 4)]}),
        Ports([f"{dev}/*"], (), {"mainA": 4}, Places(None)) as ports,
    ):
        assert isinstance(ports.discover()["mainA"], Faulty)


def test_without_any_port_all_meters_lack_theirs(
    dev: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Ports([f"{dev}/*"], (), METERS, Places(None)) as ports:
        for _ in range(3):
            assert poll(ports) == dict.fromkeys(METERS, Silent(NO_PORT))
    assert [r.getMessage() for r in caplog.records] == [f"no port is there yet ({dev}/*)"]
