"""What a homeowner does first: a fresh machine becomes the appliance, over ssh and from itself."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from appliance import ROOT, SHARED
from virtual_pi.bench import Bench
from virtual_pi.cards import PART_2_OVER, Provisioned, bare_machine, go_by_ssh
from virtual_pi.progress import Figure, Tell
from virtual_pi.remote import PASSWORD

LABELS = [
    meter["label"]
    for meter in yaml.safe_load((ROOT / "playbooks/group_vars/all.yml").read_text())["house_meters"]
]


@dataclass(frozen=True)
class Run:
    """One run of the command: what it left, how long it took, which start it found and left."""

    done: subprocess.CompletedProcess[str]
    took_s: float
    boot_before: str
    boot_after: str

    @property
    def output(self) -> str:
        return str(self.done.stdout)


@pytest.fixture(scope="module")
def place(house: dict[str, str]) -> Provisioned:
    return Provisioned.of(house)


@pytest.fixture(scope="module", autouse=True)
def over() -> Iterator[None]:
    """However it ends, the other parts do not wait any longer."""
    yield
    PART_2_OVER.touch()


@pytest.fixture(scope="module")
def bench(place: Provisioned) -> Iterator[Bench]:
    """Give a bare machine that has just been switched on for the first time."""
    with bare_machine("2_provision", place.key) as bench:
        bench.wait_until_running()
        yield bench


@pytest.fixture(scope="module")
def provision(
    place: Provisioned, bench: Bench, house: dict[str, str], tell: Tell
) -> Callable[..., Run]:
    """Give the command, as a computer runs it that has never seen the machine."""
    computer = place.new_computer(house, PASSWORD)
    target = go_by_ssh(bench, computer)

    def run(*words: str) -> Run:
        before, begin = bench.boot_id(), time.monotonic()
        done = computer.provision(target, *words, seen=lambda line: tell(f"  {line}"))
        took_s = time.monotonic() - begin
        bench.hang_up()
        return Run(done, took_s, before, bench.boot_id())

    return run


def files(bench: Bench) -> set[str]:
    script = (SHARED / "fingerprint.sh").read_text(encoding="utf-8")
    return set(bench.host.check_output(script).split("\n"))


@pytest.fixture(scope="module")
def checked(bench: Bench, provision: Callable[..., Run]) -> tuple[Run, set[str]]:
    """Try it out; the files that have changed are told as well."""
    before = files(bench)
    run = provision("--check")
    return run, before ^ files(bench)


@pytest.fixture(scope="module")
def first(checked: object, provision: Callable[..., Run]) -> Run:
    return provision()


@pytest.fixture(scope="module")
def card(first: Run, bench: Bench, place: Provisioned) -> Path:
    """Give the card, as the other parts get it; the machine goes on with it."""
    assert first.done.returncode == 0
    bench.shut_down()
    place.keep_card_of(bench)
    PART_2_OVER.touch()
    bench.start()
    bench.wait_until_running()
    return place.card


@pytest.fixture(scope="module")
def again(card: Path, provision: Callable[..., Run]) -> Run:
    return provision()


def test_trying_it_out_ends_well_and_changes_no_file(
    checked: tuple[Run, set[str]], place: Provisioned
) -> None:
    run, changed = checked
    assert run.done.returncode == 0
    assert re.search(r"^Done in .*; [1-9]\d* would change\.$", run.output, re.MULTILINE)
    assert sorted(changed) == []
    assert not place.kept.exists()
    assert run.boot_before == run.boot_after


def test_it_builds_the_appliance_and_restarts_it(first: Run, figure: Figure) -> None:
    assert first.done.returncode == 0
    assert re.search(r"^Done in .*; [1-9]\d* changed\.$", first.output, re.MULTILINE)
    assert first.boot_before != first.boot_after
    figure("provisioning over ssh, with the restart", f"{first.took_s / 60:.0f} min")


def test_it_ends_with_what_the_meters_showed(first: Run) -> None:
    for label in LABELS:
        assert re.search(rf"^ +{label} .* ok$", first.output, re.MULTILINE), label


def test_its_key_opens_the_door_from_then_on(first: Run, bench: Bench, place: Provisioned) -> None:
    assert "Installed the ssh key" in first.output
    line = ["ssh", "-F", str(bench.ssh_config), "-o", "BatchMode=yes", "-o", "ControlPath=none"]
    subprocess.run([*line, bench.name, "true"], check=True, stdin=subprocess.DEVNULL)
    assert (place.kept / "ssh/id_ed25519").stat().st_mode & 0o777 == 0o600


def test_nothing_waits_for_another_restart(first: Run, bench: Bench) -> None:
    assert not bench.host.file("/run/reboot-required").exists
    assert bench.wait_until_running() == "running"


def test_its_card_is_kept_for_the_other_parts(card: Path) -> None:
    assert card.exists()


def test_the_same_again_changes_nothing(again: Run, figure: Figure) -> None:
    assert again.done.returncode == 0
    assert re.search(r"^Done in .*; nothing had to be changed\.$", again.output, re.MULTILINE)
    assert again.boot_before == again.boot_after
    figure("provisioning again, nothing to do", f"{again.took_s / 60:.0f} min")
