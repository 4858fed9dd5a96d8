"""Adapters pulled and put back while the appliance runs, as people do with cables."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from appliance import INTERVAL_S, METERS, rows, slots
from pzem.frames import READ_INPUT, has_good_crc
from pzem.testing import ORIGINAL_WIRING
from virtual_pi.adapters import ForeignAdapter
from virtual_pi.bench import Bench

PULLED_S = 17.0
RECOVERY_S = 3 * INTERVAL_S
"""From the plug to the first reading: the kernel and udev need a few seconds without KVM."""
REQUEST = 8
"""Bytes of a question for registers."""
ADDRESSES = {wiring.name: wiring.address for wiring in ORIGINAL_WIRING}


@dataclass(frozen=True)
class Pulled:
    """When an adapter was pulled and put back, in s since 1970."""

    meter: str
    pulled_s: float
    back_s: float


@pytest.fixture(scope="module")
def running(pi: Bench) -> Bench:
    """Give an appliance that stores all meters."""
    pi.start()
    pi.wait_for_slots(pi.powered_s)
    return pi


@pytest.fixture(scope="module")
def one_by_one(running: Bench) -> list[Pulled]:
    """Pull each adapter and put it back before the next one."""
    seen = []
    for meter in METERS:
        time.sleep(RECOVERY_S)
        pulled_s = pull(running, meter)
        time.sleep(PULLED_S)
        seen.append(Pulled(meter, pulled_s, put_back(running, meter)))
    time.sleep(RECOVERY_S + INTERVAL_S)
    return seen


@pytest.fixture(scope="module")
def all_at_once(one_by_one: object, running: Bench) -> list[Pulled]:
    """Pull all of them, and put them back in another order."""
    pulled_s = {meter: pull(running, meter) for meter in METERS}
    time.sleep(PULLED_S)
    seen = []
    for meter in reversed(METERS):
        seen.append(Pulled(meter, pulled_s[meter], put_back(running, meter)))
        time.sleep(2)  # so that the kernel numbers them in this order
    time.sleep(RECOVERY_S + INTERVAL_S)
    return seen


def pull(bench: Bench, meter: str) -> float:
    bench.simulator.order(f"unplug {bench.adapters[meter]}")
    return time.time()


def put_back(bench: Bench, meter: str) -> float:
    bench.simulator.order(f"plug {bench.adapters[meter]}")
    return time.time()


def ttys(bench: Bench) -> dict[str, str]:
    """Return which tty the kernel calls each meter's adapter, by the USB port that it is in."""
    listed = bench.host.check_output("find /dev/serial/by-path -printf '%f %l\\n'").splitlines()
    of_port = {}
    for name, _, target in (line.partition(" ") for line in listed):
        if "-usb-0:" in name:
            of_port[name.split("-usb-0:")[1][0]] = target.rpartition("/")[2]
    return {meter: of_port[str(number)] for number, meter in enumerate(METERS, 1)}


def check(bench: Bench, meter: str, pulled: list[Pulled]) -> None:
    """Check that `meter` is stored but for where its own adapter was away, and silent there."""
    first_s, last_s = pulled[0].pulled_s - 10, pulled[-1].back_s + RECOVERY_S
    within = f"meter = '{meter}' AND time >= {int(first_s)}s AND time <= {int(last_s)}s"
    stored = {row["time"] for row in rows(bench.host, f"SELECT * FROM meter WHERE {within}")}
    states = {
        row["time"]: row for row in rows(bench.host, f"SELECT * FROM meter_state WHERE {within}")
    }
    own = [one for one in pulled if one.meter == meter]
    for slot in slots(int(first_s) + 1, last_s):
        assert slot in states, "the state is told in every slot"
        if any(one.pulled_s < slot < one.back_s - INTERVAL_S for one in own):
            assert slot not in stored
            assert states[slot]["state"] == 1
            assert states[slot]["reason"] in {"no_port", "port_failed"}
        elif not any(one.pulled_s - INTERVAL_S < slot < one.back_s + RECOVERY_S for one in own):
            assert slot in stored, f"nothing disturbed {meter} at {slot}"


@pytest.mark.parametrize("meter", METERS)
def test_one_that_is_pulled_is_silent_and_the_others_lose_nothing(
    running: Bench, one_by_one: list[Pulled], meter: str
) -> None:
    check(running, meter, one_by_one)


@pytest.mark.parametrize("meter", METERS)
def test_all_are_back_after_all_were_gone(
    running: Bench, all_at_once: list[Pulled], meter: str
) -> None:
    check(running, meter, all_at_once)


def test_the_kernel_had_numbered_them_anew(running: Bench, all_at_once: list[Pulled]) -> None:
    assert ttys(running) == dict(
        zip(reversed(METERS), ("ttyUSB0", "ttyUSB1", "ttyUSB2"), strict=True)
    )


def test_a_foreign_adapter_gets_no_byte_while_all_meters_answer(
    running: Bench, all_at_once: object
) -> None:
    with ForeignAdapter(running.free_usb_port) as foreign:
        time.sleep(RECOVERY_S)
        assert running.host.file("/dev/ttyUSB3").exists
        time.sleep(2 * INTERVAL_S)
    assert foreign.heard == []


def test_a_foreign_adapter_is_asked_once_for_a_meter_that_is_missing(
    running: Bench, all_at_once: object
) -> None:
    pull(running, "mainB")
    time.sleep(2 * INTERVAL_S)
    with ForeignAdapter(running.free_usb_port) as foreign:
        time.sleep(RECOVERY_S + 2 * INTERVAL_S)
        frames = [frame for _, frame in foreign.heard]
        back_s = put_back(running, "mainB")
        running.wait_for_slots(back_s, timeout_s=60)
        time.sleep(2 * INTERVAL_S)
        later = [frame for _, frame in foreign.heard[len(frames) :]]
    asked = b"".join(frames)
    assert len(asked) == REQUEST, f"one question, when it appeared, not {frames}"
    assert has_good_crc(asked)
    assert (asked[0], asked[1]) == (ADDRESSES["mainB"], READ_INPUT)
    assert later == []


def test_nothing_has_failed_over_all_that(running: Bench, all_at_once: object) -> None:
    assert running.host.check_output("systemctl --failed --plain --no-legend") == ""
    restarts = running.host.check_output("systemctl show --value -p NRestarts pzem.service")
    assert restarts == "0"
