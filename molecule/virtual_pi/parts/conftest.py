"""What all parts need: machines, somebody who tells how far it is, and the table at the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from appliance import STATE
from virtual_pi.bench import Bench
from virtual_pi.cards import HOUSE, IMAGE, Provisioned, go_by_ssh
from virtual_pi.progress import Figure, Tell
from virtual_pi.remote import PASSWORD
from virtual_pi.time_server import TimeServer

PARTS: Final = tuple(path.stem for path in sorted(Path(__file__).parent.glob("test_*.py")))
"""Such as test_4_hot_plug."""


@dataclass
class Report:
    """What the table at the end is made of."""

    held: dict[str, int] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    figures: list[tuple[str, str]] = field(default_factory=list)
    begin_s: float = field(default_factory=time.monotonic)


_report: Final = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_report] = Report()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the parts that are named in VIRTUAL_PI_PARTS, such as "hot_plug 5"."""
    words = os.environ.get("VIRTUAL_PI_PARTS", "").replace("-", "_").split()
    wanted = set()
    for word in words:
        found = [part for part in PARTS if word == part or word in part.split("_", 2)[1:]]
        if not found:
            names = ", ".join(part.split("_", 2)[2] for part in PARTS)
            raise pytest.UsageError(f"there is no part {word}; there are: {names}")
        wanted.update(found)
    if wanted:
        others = [item for item in items if item.path.stem not in wanted]
        items[:] = [item for item in items if item.path.stem in wanted]
        config.hook.pytest_deselected(items=others)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how each check has ended, and say at once what has failed."""
    outcome = yield
    report = item.config.stash[_report]
    part = item.path.stem
    report.took_s[part] = report.took_s.get(part, 0.0) + outcome.duration
    if outcome.failed:
        crash = getattr(outcome.longrepr, "reprcrash", None)
        why = crash.message.splitlines()[0] if crash else outcome.when
        report.failed.setdefault(part, []).append(f"{item.name}: {why}")
        _say(item.config, f"  FAILED: {why}")
    elif outcome.when == "call" and outcome.passed:
        report.held[part] = report.held.get(part, 0) + 1
    return outcome


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Leave the dots out: each check has a line."""
    return ("passed", "", "") if report.passed and report.when == "call" else None


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    report = config.stash[_report]
    write = terminalreporter.write_line
    write("")
    write(f"{'part':<16} {'took':>8}   {'held':>4}  failed")
    for part in PARTS:
        if part not in report.took_s:
            continue
        took, failed = report.took_s[part], report.failed.get(part, [])
        name = part.removeprefix("test_").replace("_", " ")
        write(f"{name:<16} {_clock(took):>8}   {report.held.get(part, 0):>4}  {len(failed) or '-'}")
        for line in failed:
            write(f"{'':<16} {'':>8}   failed: {line}")
    if report.figures:
        width = max(len(name) for name, _ in report.figures)
        write("")
        for name, value in report.figures:
            write(f"{name:<{width}}  {value}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _say(config: pytest.Config, text: str) -> None:
    """Print a line at once, whatever is captured, with the time since the beginning."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        print(f"{_clock(time.monotonic() - config.stash[_report].begin_s)}  {text}", flush=True)


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Tell:
    """Give what tells people how far it is."""
    return lambda text: _say(pytestconfig, text)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say what is looked at."""
    _, number, name = item.path.stem.split("_", 2)
    what = item.name.removeprefix("test_").replace("_", " ")
    _say(item.config, f"{number} {name.replace('_', ' ')}: {what}")


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config, tell: Tell) -> Figure:
    """Note a figure, with its unit, for the table."""

    def note(name: str, value: str) -> None:
        pytestconfig.stash[_report].figures.append((name, value))
        tell(f"  {name}: {value}")

    return note


@pytest.fixture(scope="session")
def time_server() -> Iterator[TimeServer]:
    """Give the only source of the time for all machines."""
    server = TimeServer()
    try:
        server.start()
    except OSError as error:
        pytest.fail(f"port 123/udp of this machine is needed for the time: {error}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def house() -> dict[str, str]:
    """Describe the house: the original one, with the packages that were chosen."""
    packages = json.loads((STATE / "packages.json").read_text(encoding="utf-8"))
    return {"house_name": HOUSE, "house_timezone": "Europe/Berlin", **packages}


@pytest.fixture(scope="session")
def provisioned(house: dict[str, str], time_server: TimeServer, tell: Tell) -> Provisioned:
    """Give a provisioned card: the one that part 2 has made, or one made now."""
    provisioned = Provisioned.of(house)
    if provisioned.card.exists():
        return provisioned
    tell("  there is no provisioned card of this state of the project: making one")
    computer = provisioned.new_computer(house, PASSWORD)
    with Bench(STATE / "provision", IMAGE, provisioned.key) as bench:
        bench.insert(IMAGE / "card.raw")
        bench.start()
        done = computer.provision(go_by_ssh(bench, computer), seen=lambda line: tell(f"    {line}"))
        assert done.returncode == 0, "provisioning has failed, see above"
        bench.shut_down()
        provisioned.keep_card_of(bench)
    return provisioned


@pytest.fixture(scope="module")
def pi(
    provisioned: Provisioned, time_server: TimeServer, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    """Give a virtual Pi with a fresh copy of the provisioned card, switched off."""
    time_server.start()
    with Bench(STATE / request.path.stem.removeprefix("test_"), IMAGE, provisioned.key) as bench:
        bench.insert(provisioned.card)
        yield bench
    time_server.start()
    bench.machine.card.unlink(missing_ok=True)
