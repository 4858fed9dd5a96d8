"""The way of a household without another computer: the machine provisions itself."""

from __future__ import annotations

import re
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from appliance import EXPECTED, METERS, ROOT
from virtual_pi.bench import Bench
from virtual_pi.cards import bare_machine
from virtual_pi.progress import Figure, Tell
from virtual_pi.remote import PASSWORD
from virtual_pi.terminal import converse
from virtual_pi.waiting import wait_until

TIMEOUT_S = 2.5 * 3600
"""From the command to its end; with the start before and after it, less than a check may take."""

TOLD_WITHIN_S = 600.0
FOLDER = "house-power-monitor"
ANSWERS = {
    r"\[sudo\] password for pi:": PASSWORD,
    r"Password for sudo, this computer:": PASSWORD,
    r"Go on\? \[y/N\]": "y",
    r"Restart now\? \[y/N\]": "y",
}


@dataclass(frozen=True)
class Run:
    """What was typed has led to this."""

    output: str
    took_s: float
    boot_before: str
    boot_after: str


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Give a bare machine."""
    with bare_machine("9_localhost") as bench:
        bench.wait_until_running()
        yield bench


@pytest.fixture(scope="module")
def archive(house: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the project as it is downloaded, with the owner's description of the house."""
    folder = tmp_path_factory.mktemp("download")
    left = shutil.ignore_patterns(".*", "__pycache__", "hosts.yml", "house.yml")
    shutil.copytree(ROOT, folder / "project", ignore=left)
    described = dict(house)
    for package in ("influxdb_deb", "grafana_deb"):
        if described.get(package, "").startswith("/"):
            given = Path(described[package])
            shutil.copy(given, folder / "project" / given.name)
            described[package] = f"/home/pi/{FOLDER}/{given.name}"
    (folder / "project/inventory/group_vars/house.yml").write_text(yaml.safe_dump(described))
    with tarfile.open(folder / "project.tar", "w") as tar:
        tar.add(folder / "project", arcname=".")
    return folder / "project.tar"


@pytest.fixture(scope="module")
def run(bench: Bench, archive: Path, tell: Tell) -> Run:
    """Log in, unpack the project, type the command, and answer what it asks."""
    bench.unpack(archive, FOLDER)
    before, begin = bench.boot_id(), time.monotonic()
    _, output = converse(
        bench.ssh_config,
        bench.name,
        f"cd {FOLDER} && ./appliance provision localhost",
        ANSWERS,
        seen=lambda line: tell(f"  {line}"),
        timeout_s=TIMEOUT_S,
    )
    took_s = time.monotonic() - begin
    bench.wait_for_another_boot(before)
    return Run(output, took_s, before, bench.boot_id())


def test_it_becomes_the_appliance(run: Run, figure: Figure) -> None:
    assert re.search(r"^Done in .*; [1-9]\d* changed\.$", run.output, re.MULTILINE)
    figure("provisioning localhost, with what it installs first", f"{run.took_s / 60:.0f} min")


def test_it_asks_whether_to_restart_and_does(run: Run) -> None:
    assert "Restart now?" in run.output
    assert run.boot_before != run.boot_after


def test_it_works_after_the_restart(run: Run, bench: Bench) -> None:
    bench.wait_for_slots(bench.powered_s)
    assert bench.wait_until_running() == "running"
    for unit in EXPECTED["services"]:
        assert bench.host.service(unit).is_running


def test_the_next_login_is_told_how_the_appliance_is(run: Run, bench: Bench) -> None:
    # It is looked at once everything answers.
    message = bench.host.file("/run/motd.d/house-power-monitor")
    wait_until(lambda: message.exists, TOLD_WITHIN_S, "nothing was written for the next login")
    told = message.content_string
    assert told
    labels = yaml.safe_load((ROOT / "playbooks/group_vars/all.yml").read_text())["house_meters"]
    assert len(labels) == len(METERS)
    for meter in labels:
        assert re.search(rf"^ +{meter['label']} .* ok$", told, re.MULTILINE), told
