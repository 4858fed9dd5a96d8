"""Minutes, hours, days and energy: made by a service that stays in the background."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from testinfra.host import Host

from appliance import EXPECTED, METERS, rows

UNIT = "pzem-rollup.service"
PATIENCE_S = 120.0


def show(host: Host, name: str) -> str:
    return str(host.check_output("systemctl show --value -p %s %s", name, UNIT))


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        time.sleep(2)


@pytest.mark.parametrize("level", ["m1", "h1", "d1"])
def test_every_meter_has_every_level(host: Host, level: str) -> None:
    """A start makes all that is due, at once."""
    host.check_output("systemctl restart %s", UNIT)

    def meters() -> set[str]:
        found = rows(host, f"SELECT last(watts), watts_max FROM {level}.meter GROUP BY meter")
        return {row["meter"] for row in found if row["watts_max"] is not None}

    eventually(lambda: meters() >= set(METERS), f"all meters in {level}")


@pytest.mark.parametrize("period", ["hour", "day", "month"])
def test_the_periods_have_their_energy(host: Host, period: str) -> None:
    query = f"SELECT last(lifetime_wh) FROM d1.energy WHERE period = '{period}' GROUP BY meter"
    eventually(lambda: rows(host, query), f"energy of the {period}")


def test_it_gives_way_to_everything_else(host: Host) -> None:
    process = show(host, "MainPID")
    assert host.check_output("ps -o ni=,cls=,user= -p %s", process).split()[1:] == ["IDL", "pzem"]
    assert show(host, "Nice") == "19"
    assert "idle" in host.check_output("ionice -p %s", process)


def test_it_runs_in_a_sandbox_and_is_watched(host: Host) -> None:
    report = host.check_output(f"systemd-analyze security {UNIT} --no-pager")
    exposure = float(report.rstrip().rsplit("\n", 1)[-1].split(": ")[1].split()[0])
    assert exposure <= EXPECTED["exposure_at_most"]
    assert show(host, "WatchdogUSec") == "15min"
    assert show(host, "Type") == "notify"
