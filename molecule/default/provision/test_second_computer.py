"""A second computer provisions the same appliance, as its owner would type it."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml
from testinfra.host import Host

from appliance import EXPECTED, ROOT, SHARED, STATE
from computer import Computer

PASSWORD = "raspberry"
OF_THE_CONTAINER = re.compile(r"house_(?!secrets_)|pzem_(?!wheel_cache)")
"""What the scenario's variables say about the house rather than about the first computer."""


@pytest.fixture(scope="module")
def computer(tmp_path_factory: pytest.TempPathFactory) -> Computer:
    """Give the second computer the same description of the house."""
    shared = yaml.safe_load((SHARED / "inventory/group_vars/house.yml").read_text())
    own = yaml.safe_load((ROOT / "molecule/default/inventory/hosts.yml").read_text())
    house = {
        **{key: value for key, value in shared.items() if OF_THE_CONTAINER.match(key)},
        **own["house"]["hosts"]["house-power-monitor-test"],
        **json.loads((STATE / "packages.json").read_text()),
    }
    return Computer.new(tmp_path_factory.mktemp("second") / "computer", house, PASSWORD)


@pytest.fixture(scope="module")
def run(computer: Computer, host: Host) -> subprocess.CompletedProcess[str]:
    """Provision the appliance that is there, once for all tests here."""
    address = host.check_output("hostname -I").split()[0]
    return computer.provision(f"pi@{address}")


def test_it_changes_nothing_but_what_it_keeps_itself(
    run: subprocess.CompletedProcess[str],
) -> None:
    assert run.returncode == 0, run.stdout + run.stderr
    (changed,) = re.findall(r"^.*\(\d+ changed\)$", run.stdout, re.MULTILINE)
    assert "passwords of a house  (1 changed)" in changed
    assert re.search(r"^Done in .*; 1 changed\.$", run.stdout, re.MULTILINE), run.stdout


def test_it_ends_with_where_to_look_and_what_the_meters_showed(
    run: subprocess.CompletedProcess[str],
) -> None:
    password = (STATE / "secrets" / "grafana_viewer_password").read_text().strip()
    assert f":{EXPECTED['ports_from_outside'][1]}" in run.stdout
    assert password in run.stdout
    defaults = yaml.safe_load((ROOT / "playbooks/group_vars/all.yml").read_text())
    for meter in defaults["house_meters"]:
        assert re.search(rf"^ +{meter['label']} .* ok$", run.stdout, re.MULTILINE), run.stdout


@pytest.mark.usefixtures("run")
def test_it_finds_the_secrets_of_the_house_on_the_appliance(computer: Computer) -> None:
    found = computer.kept("test")
    assert found.stat().st_mode & 0o777 == 0o700
    for first in (STATE / "secrets").iterdir():
        assert (found / first.name).read_bytes() == first.read_bytes()
        assert (found / first.name).stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("run")
def test_its_log_holds_no_secret(computer: Computer) -> None:
    log = (computer.kept("test") / "provision.log").read_text()
    assert "Build the appliance" in log
    for secret in (STATE / "secrets").iterdir():
        assert secret.read_text().strip() not in log
    assert PASSWORD not in log
