"""What the simulated meters displayed is what the database holds, slot by slot."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from testinfra.host import Host

from appliance import EXPECTED, INTERVAL_S, METERS, now_s, rows, slots

JOURNAL = "/run/simulated-meters/journal"
READ_INPUT_REGISTERS = "04"
WATCHED_S = 60

Readings = Mapping[int, Mapping[str, Any]]


@pytest.fixture(scope="module")
def minute(host: Host) -> list[int]:
    """Return the slots of a minute that nothing disturbed, the last of them closed."""
    begin = now_s(host)
    host.check_output("sleep %s", str(WATCHED_S + 8))
    return slots(begin + INTERVAL_S, begin + INTERVAL_S + WATCHED_S)


@pytest.fixture(scope="module")
def displayed(host: Host, minute: list[int]) -> Mapping[str, Readings]:
    """Return what each meter showed when it was read, by meter and slot."""
    readings: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    replies = host.check_output("tail -n 400 %s", JOURNAL).splitlines()
    for reply in map(json.loads, replies):
        slot = int(reply["unix_s"]) // INTERVAL_S * INTERVAL_S
        is_reading = reply["request"][2:4] == READ_INPUT_REGISTERS
        if slot in minute and is_reading and not reply["damaged"]:
            assert slot not in readings[reply["meter"]], "read twice in one slot"
            readings[reply["meter"]][slot] = reply["displayed"]
    return readings


@pytest.mark.parametrize("meter", METERS)
class TestMeter:
    def test_was_read_in_every_slot(
        self, displayed: Mapping[str, Readings], minute: list[int], meter: str
    ) -> None:
        assert len(minute) >= WATCHED_S // INTERVAL_S
        assert sorted(displayed[meter]) == minute

    def test_is_stored_field_by_field_and_slot_by_slot(
        self, host: Host, displayed: Mapping[str, Readings], minute: list[int], meter: str
    ) -> None:
        found = rows(
            host,
            f"SELECT * FROM meter WHERE meter = '{meter}' "
            f"AND time >= {minute[0]}s AND time <= {minute[-1]}s",
        )
        stored = {row.pop("time"): row for row in found}
        assert sorted(stored) == minute
        for slot in minute:
            shown = displayed[meter][slot]
            assert stored[slot].pop("meter") == meter
            assert sorted(stored[slot]) == EXPECTED["fields"]["meter"]
            for field, value in stored[slot].items():
                assert value == pytest.approx(expected(shown, field), abs=1e-9), (slot, field)

    def test_is_ok_in_every_slot(self, host: Host, minute: list[int], meter: str) -> None:
        found = rows(
            host,
            f"SELECT * FROM meter_state WHERE meter = '{meter}' "
            f"AND time >= {minute[0]}s AND time <= {minute[-1]}s",
        )
        assert [row["time"] for row in found] == minute
        assert {row["state"] for row in found} == {0}


def expected(shown: Mapping[str, Any], field: str) -> float:
    if field == "volt_amps":
        return float(shown["volts"]) * float(shown["amps"])
    return float(shown[field])


def test_the_house_is_the_sum_of_the_legs(
    host: Host, displayed: Mapping[str, Readings], minute: list[int]
) -> None:
    found = rows(
        host,
        f"SELECT watts, utility_on, generator_on FROM house "
        f"WHERE time >= {minute[0]}s AND time <= {minute[-1]}s",
    )
    assert [row["time"] for row in found] == minute
    for row in found:
        legs = sum(displayed[leg][row["time"]]["watts"] for leg in ("mainA", "mainB"))
        assert row["watts"] == pytest.approx(legs, abs=1e-6)


def test_the_temperature_of_the_processor_is_stored(host: Host, minute: list[int]) -> None:
    found = rows(
        host,
        f"SELECT cpu_celsius FROM host WHERE time >= {minute[0]}s AND time <= {minute[-1]}s",
    )
    shown = int(host.file("/run/simulated-meters/cpu_temperature").content_string) / 1000
    assert [row["time"] for row in found] == minute
    assert {row["cpu_celsius"] for row in found} == {shown}
