"""Every service: enabled, running, healing by itself, and quiet."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from appliance import EXPECTED, METERS, now_s, rows

SERVICES = EXPECTED["services"]


@pytest.fixture(autouse=True)
def journal(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the journal of the unit whose test has failed."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before and "unit" in request.fixturenames:
        unit = request.getfixturevalue("unit")
        print(host.run("journalctl --no-pager --unit=%s --lines=60", unit).stdout)


def show(host: Host, unit: str, name: str) -> str:
    return str(host.check_output("systemctl show --value -p %s %s", name, unit))


@pytest.mark.parametrize("unit", SERVICES)
class TestService:
    def test_is_enabled_and_active(self, host: Host, unit: str) -> None:
        service = host.service(unit)
        assert service.is_enabled
        assert service.is_running

    def test_is_always_started_again(self, host: Host, unit: str) -> None:
        assert show(host, unit, "Restart") == "always"
        assert show(host, unit, "StartLimitIntervalUSec") == "0"

    def test_survives_a_restart(self, host: Host, unit: str) -> None:
        before = show(host, unit, "MainPID")
        host.check_output("systemctl restart %s", unit)
        assert host.service(unit).is_running
        assert show(host, unit, "MainPID") != before

    def test_gives_way_in_the_right_order_when_memory_is_short(self, host: Host, unit: str) -> None:
        # A container may not lower the score in /proc, so this asks systemd.
        assert int(show(host, unit, "OOMScoreAdjust")) == EXPECTED["oom_score_adjust"][unit]

    def test_logs_no_error(self, host: Host, unit: str) -> None:
        errors = host.check_output("journalctl --quiet --priority=err --output=cat --unit=%s", unit)
        assert errors == ""

    def test_prints_no_error(self, host: Host, unit: str) -> None:
        # InfluxDB and Grafana print their errors, and the journal takes them for information.
        printed = host.check_output("journalctl --quiet --output=cat --unit=%s", unit).splitlines()
        assert [line for line in printed if "lvl=error" in line or "level=error" in line] == []


def test_the_journal_is_free_of_errors(host: Host) -> None:
    lines = host.check_output("journalctl --quiet --priority=err --output=cat").splitlines()
    harmless = EXPECTED["harmless_errors"]
    assert [line for line in lines if not any(known in line for known in harmless)] == []


def test_the_system_has_no_failed_unit(host: Host) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""


def test_only_a_wrong_configuration_keeps_the_collector_down(host: Host) -> None:
    assert show(host, "pzem.service", "RestartPreventExitStatus") == "2"


def test_the_collector_runs_in_a_sandbox(host: Host) -> None:
    report = host.check_output("systemd-analyze security pzem.service --no-pager")
    exposure = float(report.rstrip().rsplit("\n", 1)[-1].split(": ")[1].split()[0])
    assert exposure <= EXPECTED["exposure_at_most"]


def test_the_collector_runs_as_a_user_of_its_own(host: Host) -> None:
    process = show(host, "pzem.service", "MainPID")
    assert host.check_output("ps -o user= -p %s", process) == "pzem"
    assert "dialout" in show(host, "pzem.service", "SupplementaryGroups")


def test_the_sandbox_shows_the_collector_which_boot_this_is(host: Host) -> None:
    boot_id = host.check_output("cat /proc/sys/kernel/random/boot_id")
    assert status(host)["written"]["boot_id"] == boot_id


def test_the_collectors_folders_are_as_open_as_they_need_to_be(host: Host) -> None:
    """What it sees is for everybody; what it keeps, and is asked to do, is not."""
    folders = {"/run/pzem": 0o755, "/var/lib/pzem": 0o750, "/var/lib/pzem/requests": 0o750}
    for name, mode in folders.items():
        folder = host.file(name)
        assert (folder.user, folder.group, folder.mode) == ("pzem", "pzem", mode)
    assert host.file("/etc/pzem/pzem.toml").mode == 0o644
    assert host.file("/etc/pzem/influxdb.password").mode == 0o640


def test_systemd_watches_over_the_collector(host: Host) -> None:
    assert show(host, "pzem.service", "Type") == "notify"
    assert show(host, "pzem.service", "WatchdogUSec") not in ("", "0", "infinity")


def test_ownership_of_the_system_folders_did_not_change(host: Host) -> None:
    for folder in ("/", "/etc", "/usr", "/var", "/opt", "/boot", "/usr/local/bin"):
        assert (host.file(folder).user, host.file(folder).group) == ("root", "root")


def test_readings_go_on_after_all_that(host: Host) -> None:
    begin = now_s(host)
    host.check_output("sleep 12")
    found = rows(host, f"SELECT watts FROM meter WHERE time > {int(begin)}s GROUP BY meter")
    assert {row["meter"] for row in found} == set(METERS)


def status(host: Host) -> dict[str, Any]:
    """Return what `pzem status` tells somebody without any rights, soon after a start too."""
    with host.sudo("nobody"):
        for _ in range(20):
            told = host.run("pzem status --json")
            if told.stdout:
                break
            time.sleep(1)
    assert told.stdout, told.stderr
    document: dict[str, Any] = json.loads(told.stdout)
    return document


def test_anybody_may_see_how_the_collector_is(host: Host) -> None:
    told = status(host)
    states = {meter["name"]: meter["state"] for meter in told["meters"]}
    assert states == dict.fromkeys(METERS, "ok")
    assert told["clock"]["state"] == "true"
    assert told["spool"]["blocks"] <= 1, "no more than the slot in hand"
    with host.sudo("nobody"):
        table = host.check_output("pzem status")
    assert all(meter in table for meter in METERS)
