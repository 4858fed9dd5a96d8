"""What the simulated meters displayed is what the database holds, slot by slot."""

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from testinfra.host import Host

from appliance import (
    EXPECTED,
    INTERVAL_S,
    METERS,
    expected_value,
    now_s,
    readings,
    rows,
    sent_replies,
    slots,
)

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
    shown = {}
    for meter, by_slot in readings(sent_replies(host)).items():
        assert {len(by_slot[slot]) for slot in minute if slot in by_slot} == {1}, "read twice"
        shown[meter] = {slot: by_slot[slot][0] for slot in minute if slot in by_slot}
    return shown


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
        offsets_wh = set()
        for slot in minute:
            shown = displayed[meter][slot]
            assert stored[slot].pop("meter") == meter
            assert sorted(stored[slot]) == EXPECTED["fields"]["meter"]
            # The register may have been set back, or be another meter's, since the first day.
            offsets_wh.add(round(stored[slot].pop("lifetime_wh") - shown["energy_wh"], 3))
            for field, value in stored[slot].items():
                assert value == pytest.approx(expected_value(shown, field), abs=1e-9), (slot, field)
        assert len(offsets_wh) == 1

    def test_is_ok_in_every_slot(self, host: Host, minute: list[int], meter: str) -> None:
        found = rows(
            host,
            f"SELECT * FROM meter_state WHERE meter = '{meter}' "
            f"AND time >= {minute[0]}s AND time <= {minute[-1]}s",
        )
        assert [row["time"] for row in found] == minute
        assert {row["state"] for row in found} == {0}


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
    settings = tomllib.loads(host.file("/etc/pzem/pzem.toml").content_string)
    zone = host.file(settings["thermal_zone"])
    if not zone.exists:  # a virtual machine has none
        assert found == []
        return
    assert [row["time"] for row in found] == minute
    assert {row["cpu_celsius"] for row in found} == {int(zone.content_string) / 1000}
