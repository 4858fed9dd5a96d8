"""After each fault: the appliance is well again, and the gap is the one that must be."""

import json
from typing import Any, NamedTuple

import pytest
from testinfra.host import Host

from appliance import INTERVAL_S, METERS, STATE, now_s, rows, slots

UNCOMMITTED_S = 30
"""What InfluxDB does not take reaches the card at least so often."""
BELIEVED_AFTER = 3
"""Slots in which a register's step is not believed yet."""
STARTS_WITHIN_S = 20


class Fault(NamedTuple):
    """When a fault was caused and ended, in s since 1970: before and after each order."""

    causing_s: float
    caused_s: float
    ending_s: float
    ended_s: float

    @property
    def during(self) -> list[int]:
        """Slots that began and were read while the fault lasted."""
        return slots(self.caused_s, self.ending_s - INTERVAL_S)

    @property
    def around(self) -> list[int]:
        """Slots from well before the fault until well after it."""
        return slots(self.causing_s - 15, self.ended_s + 20)

    def clear(self, recovery_s: float) -> list[int]:
        """Slots that the fault cannot have touched."""
        return [
            slot
            for slot in self.around
            if slot < self.causing_s - INTERVAL_S or slot > self.ended_s + recovery_s
        ]


@pytest.fixture(scope="module")
def faults() -> dict[str, Fault]:
    seen = json.loads((STATE / "faults.json").read_text(encoding="utf-8"))
    return {name: Fault(*times) for name, times in seen.items()}


def stored(host: Host, measurement: str, fault: Fault) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the points of every meter by slot, from before the fault until after it."""
    around = fault.around
    found = rows(
        host,
        f"SELECT * FROM {measurement} WHERE time >= {around[0]}s AND time <= {around[-1]}s",
    )
    return {meter: {row["time"]: row for row in found if row["meter"] == meter} for meter in METERS}


def journal(host: Host, fault: Fault, unit: str) -> str:
    """Return what systemd and the unit have said while the fault lasted."""
    begin, end = int(fault.causing_s), int(fault.ended_s) + 1
    command = "journalctl --no-pager --output=cat --unit=%s --since=%s --until=%s"
    return str(host.check_output(command, unit, f"@{begin}", f"@{end}"))


def test_a_killed_collector_misses_only_the_slots_in_which_it_was_dead(
    host: Host, faults: dict[str, Fault]
) -> None:
    fault = faults["collector_killed"]
    assert "code=killed, status=9/KILL" in journal(host, fault, "pzem.service")
    points, states = stored(host, "meter", fault), stored(host, "meter_state", fault)
    dead = [slot for slot in fault.around if slot not in points[METERS[0]]]
    assert dead, "a collector that was dead cannot have read"
    assert dead == slots(dead[0], dead[-1]), "one gap"
    assert set(dead).isdisjoint(fault.clear(recovery_s=2 * INTERVAL_S))
    for meter in METERS:
        assert sorted(points[meter]) == sorted(states[meter])
        assert set(fault.around) - set(points[meter]) == set(dead), "the same gap for all"


def test_nothing_is_missing_after_influxdb_was_down(host: Host, faults: dict[str, Fault]) -> None:
    fault = faults["influxdb_stopped"]
    assert len(fault.during) >= 5
    assert "Stopped influxdb.service" in journal(host, fault, "influxdb.service")
    for measurement in ("meter", "meter_state"):
        for meter, points in stored(host, measurement, fault).items():
            assert sorted(points) == fault.around, (measurement, meter)


def test_a_meter_whose_adapter_is_gone_is_silent_until_it_is_back(
    host: Host, faults: dict[str, Fault]
) -> None:
    fault = faults["adapter_moved"]
    check_silence(host, fault, "mainB", {"no_port", "port_failed"})
    assert host.file("/run/simulated-meters/ttyUSB7").exists
    assert not host.file("/run/simulated-meters/ttyUSB1").exists


def test_a_generator_that_falls_silent_is_silent_and_not_zero(
    host: Host, faults: dict[str, Fault]
) -> None:
    check_silence(host, faults["generator_silent"], "gen", {"no_answer_yet", "no_answer"})


def check_silence(host: Host, fault: Fault, silent: str, reasons: set[str]) -> None:
    points, states = stored(host, "meter", fault), stored(host, "meter_state", fault)
    assert len(fault.during) >= 3
    for slot in fault.during:
        assert slot not in points[silent]
        assert states[silent][slot]["state"] == 1
        assert states[silent][slot]["reason"] in reasons
    for slot in fault.clear(recovery_s=2 * INTERVAL_S):
        assert slot in points[silent], "a slot is missing that nothing disturbed"
        assert states[silent][slot]["state"] == 0
    for meter in METERS:
        assert sorted(states[meter]) == fault.around, "the state is told in every slot"
        if meter != silent:
            assert sorted(points[meter]) == fault.around, "another meter has lost a slot"


def test_at_most_half_a_minute_is_lost_by_a_kill_while_influxdb_is_down(
    host: Host, faults: dict[str, Fault]
) -> None:
    fault = faults["collector_killed_without_influxdb"]
    for meter, points in stored(host, "meter", fault).items():
        missing = sorted(set(fault.around) - set(points))
        killed_s = fault.caused_s
        assert missing, meter
        assert missing[0] >= killed_s - UNCOMMITTED_S - INTERVAL_S
        assert missing[-1] <= killed_s + STARTS_WITHIN_S
        assert missing == slots(missing[0], missing[-1]), "one gap"
        assert any(fault.causing_s < slot < missing[0] for slot in points), "kept on the card"


def test_the_spool_goes_when_it_is_empty(host: Host) -> None:
    assert json.loads(host.check_output("pzem status --json"))["spool"]["blocks"] <= 1
    left = host.check_output("find /var/lib/pzem -name 'spool*'")
    assert left == ""


def test_lifetime_energy_outlives_the_meter(host: Host, faults: dict[str, Fault]) -> None:
    fault = faults["meter_replaced"]
    points = stored(host, "meter", fault)["mainB"]
    registers = [points[slot]["energy_wh"] for slot in sorted(points)]
    told = [points[slot].get("lifetime_wh") for slot in sorted(points)]
    lifetimes = [lifetime for lifetime in told if lifetime is not None]
    assert len(told) - len(lifetimes) <= BELIEVED_AFTER
    assert max(registers) - min(registers) > 50_000, "another meter counts from elsewhere"
    assert lifetimes == sorted(lifetimes)
    most_wh = 23_000 * (fault.around[-1] - fault.around[0]) / 3600
    assert lifetimes[-1] - lifetimes[0] <= most_wh


def test_the_outage_is_in_the_ledger(host: Host, faults: dict[str, Fault]) -> None:
    fault = faults["outage"]
    with host.sudo("pzem"):
        records = json.loads(host.check_output("pzem outages --json"))
    began_s = fault.causing_s - 2 * INTERVAL_S
    (outage,) = (
        record["fields"]
        for record in records
        if record["kind"] == "outage" and record["fields"]["began_at"] >= began_s
    )
    assert outage["began_at"] <= fault.caused_s
    assert outage["began_at"] < outage["generator_at"] <= fault.ending_s
    assert fault.ending_s - INTERVAL_S <= outage["back_at"] <= fault.ended_s + 30
    assert outage["peak_watts"] > 0
    assert outage["open"] == 0


def test_an_outage_is_one_alarm(host: Host, faults: dict[str, Fault]) -> None:
    """What follows from it, such as silent meters, does not speak beside it."""
    fault = faults["outage"]
    within = f"time >= {int(fault.caused_s)}s AND time <= {int(fault.ending_s)}s"
    active = rows(host, f"SELECT * FROM alarm_state WHERE active = 1 AND {within}")
    kinds = {row["kind"] for row in active}
    assert "utility_lost" in kinds
    assert kinds <= {"utility_lost", "generator_running"}


def test_the_appliance_has_recovered(host: Host) -> None:
    now = now_s(host)
    found = rows(host, f"SELECT * FROM meter WHERE time > {int(now) - 15}s")
    assert {row["meter"] for row in found} == set(METERS)
    assert host.check_output("systemctl --failed --plain --no-legend") == ""
