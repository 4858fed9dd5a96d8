"""The checks of the container's scenario, by the same files, after a start without adapters."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from aloud import run_aloud
from appliance import ROOT
from virtual_pi.bench import Bench
from virtual_pi.cards import Provisioned
from virtual_pi.progress import Tell
from virtual_pi.waiting import wait_until

CHECKS = ROOT / "molecule" / "default" / "tests"
# QEMU's own network takes every connection to a port that it forwards, and no other.
LEFT_OUT = CHECKS / "test_network.py::test_a_connection_from_outside_agrees"

LOOKED_BACK_S = 60.0
"""The checks of numbers take those of the last minute."""


@pytest.fixture(scope="module")
def bare_start(pi: Bench) -> Bench:
    """Start it with nothing in its USB ports, and let its start come to an end."""
    for adapter in pi.adapters.values():
        pi.simulator.order(f"unplug {adapter}")
    pi.start()
    pi.wait_until_running()
    return pi


def test_the_collector_waits_for_adapters(bare_start: Bench) -> None:
    host = bare_start.host
    assert not host.file("/dev/ttyUSB0").exists
    wait_until(
        lambda: "no port is there" in host.check_output("journalctl -b -u pzem -o cat --no-pager"),
        60,
        "the collector has not said that there is no port",
    )
    assert host.service("pzem.service").is_running


def test_its_sandbox_lets_it_use_adapters_that_come_later(bare_start: Bench) -> None:
    process = bare_start.host.check_output("systemctl show --value -p MainPID pzem.service")
    for adapter in bare_start.adapters.values():
        bare_start.simulator.order(f"plug {adapter}")
    bare_start.wait_for_slots(bare_start.powered_s)
    after = bare_start.host.check_output("systemctl show --value -p MainPID pzem.service")
    assert process == after, "it was not started anew for that"


@pytest.fixture(scope="module")
def outcomes(bare_start: Bench, provisioned: Provisioned, tell: Tell) -> dict[str, str]:
    """Run the checks; return what each of those that failed has said, and "" for the others."""
    for adapter in bare_start.adapters.values():
        if not bare_start.simulator.line(str(adapter)).plugged:
            bare_start.simulator.order(f"plug {adapter}")
    bare_start.wait_for_grafana()
    first = bare_start.wait_for_slots(bare_start.powered_s)
    bare_start.wait_for_slots(first + LOOKED_BACK_S)
    secrets = bare_start.folder / "secrets"
    secrets.unlink(missing_ok=True)
    secrets.symlink_to(provisioned.kept)
    report = bare_start.folder / "checks.xml"
    words = [f"--hosts=sudo-ssh://{bare_start.name}", f"--ssh-config={bare_start.ssh_config}"]
    words += ["--sudo", "-p", "virtual_pi.remote", "-p", "no:cacheprovider", "-v", "--tb=short"]
    words += [f"--rootdir={ROOT}", f"--junit-xml={report}", "-o", "timeout=600"]
    words += [f"--deselect={LEFT_OUT.relative_to(ROOT)}"]
    environment = {
        **os.environ,
        "APPLIANCE_STATE": str(bare_start.folder),
        "APPLIANCE_SCREENS": bare_start.screens_url,
        "APPLIANCE_METERS_JOURNAL": str(bare_start.journal),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "molecule/shared/support"), str(ROOT)]),
    }
    command = [sys.executable, "-m", "pytest", *words, str(CHECKS)]
    run_aloud(command, cwd=ROOT, env=environment, seen=lambda line: tell(f"  {line}"))
    return read_report(report)


def read_report(report: Path) -> dict[str, str]:
    found = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        said = [child.get("message", "") for child in case if child.tag in ("failure", "error")]
        found[name] = (said[0] or "no word of why") if said else ""
    return found


def files() -> list[str]:
    return sorted(file.stem for file in CHECKS.glob("test_*.py"))


@pytest.mark.parametrize("file", files())
def test_the_checks_of(outcomes: dict[str, str], file: str, tell: Tell) -> None:
    of_file = {name: said for name, said in outcomes.items() if f".{file}" in name}
    failed = [
        f"{name.rpartition('::')[2]}: {said.splitlines()[0]}"
        for name, said in of_file.items()
        if said
    ]
    tell(f"  {len(of_file) - len(failed)} of {len(of_file)} held")
    assert of_file
    assert not failed, "; ".join(failed)
