"""What all parts need: machines, the time, somebody who tells how far it is, the table at the end.

Two parts run at a time, each in a worker of pytest-xdist: a machine keeps one core busy.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from appliance import STATE
from virtual_pi.bench import Bench
from virtual_pi.cards import HOUSE, IMAGE, PART_2_OVER, Provisioned, bare_machine, go_by_ssh
from virtual_pi.progress import Figure, Tell
from virtual_pi.remote import PASSWORD
from virtual_pi.table import FIGURE, Table, clock, what_failed
from virtual_pi.time_server import TimeServer

PARTS: Final = tuple(path.stem for path in sorted(Path(__file__).parent.glob("test_*.py")))
"""Such as test_4_hot_plug."""
FIRST: Final = ("image", "provision", "localhost", "power_cuts", "figures", "watchdog", "clock")
"""What makes something of a bare card begins, then the longest parts that need a provisioned one,
so that both workers end about together; the others follow by their numbers."""
TIMEOUT_S: Final = 3 * 3600
"""For a check with all that is made for it; what is waited for has closer limits."""

_begin_s: Final = pytest.StashKey[float]()
_item: Final = pytest.StashKey[pytest.Item]()
"""The check that is being run."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count; workers are told when that was, and the table is not theirs."""
    worker = getattr(config, "workerinput", None)
    config.stash[_begin_s] = begin_s = worker["begin_s"] if worker else time.monotonic()
    if worker is None:
        config.pluginmanager.register(Table(PARTS, begin_s))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 # pytest-xdist ships no types
    """Tell a worker when the run began."""
    node.workerinput["begin_s"] = node.config.stash[_begin_s]


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Have one source of the time, for the machines of all workers."""
    if hasattr(session.config, "workerinput"):
        return (yield)
    PART_2_OVER.unlink(missing_ok=True)  # an earlier run's
    server = TimeServer()
    try:
        server.start()
    except OSError as error:
        pytest.exit(f"port 123/udp of this machine is needed for the time: {error}", 2)
    try:
        return (yield)
    finally:
        server.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the parts that are named in VIRTUAL_PI_PARTS, such as "hot_plug 5"."""
    words = os.environ.get("VIRTUAL_PI_PARTS", "").replace("-", "_").split()
    wanted = set()
    for word in words:
        found = [part for part in PARTS if word == part or word in _number_and_name(part)]
        if not found:
            names = ", ".join(_number_and_name(part)[1] for part in PARTS)
            raise pytest.UsageError(f"there is no part {word}; there are: {names}")
        wanted.update(found)
    if wanted:
        others = [item for item in items if item.path.stem not in wanted]
        items[:] = [item for item in items if item.path.stem in wanted]
        config.hook.pytest_deselected(items=others)
    items.sort(key=_turn)
    for item in items:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))


def _turn(item: pytest.Item) -> int:
    _, name = _number_and_name(item.path.stem)
    return FIRST.index(name) if name in FIRST else len(FIRST)


def _number_and_name(part: str) -> tuple[str, str]:
    _, number, name = part.split("_", 2)
    return number, name


def _say(item: pytest.Item, text: str) -> None:
    """Print a line at once, whatever is captured, with the time since the beginning."""
    capture = item.config.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    passed = clock(time.monotonic() - item.config.stash[_begin_s])
    part = " ".join(_number_and_name(item.path.stem)).replace("_", " ")
    with capture.global_and_fixture_disabled():
        # What a worker prints elsewhere is for pytest-xdist.
        print(f"{passed}  {part}: {text}", file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Tell:
    """Give what tells people how far it is."""
    return lambda text: _say(pytestconfig.stash[_item], text)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say what is looked at."""
    item.config.stash[_item] = item
    _say(item, item.name.removeprefix("test_").replace("_", " "))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say at once what has failed."""
    report = yield
    if report.failed:
        _say(item, f"  FAILED: {what_failed(report)}")
    return report


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config, tell: Tell) -> Figure:
    """Note a figure, with its unit, for the table."""

    def note(name: str, value: str) -> None:
        pytestconfig.stash[_item].user_properties.append((FIGURE, (name, value)))
        tell(f"  {name}: {value}")

    return note


@pytest.fixture(scope="session")
def house() -> dict[str, str]:
    """Describe the house: the original one, with the packages that were chosen."""
    packages = json.loads((STATE / "packages.json").read_text(encoding="utf-8"))
    return {"house_name": HOUSE, "house_timezone": "Europe/Berlin", **packages}


@pytest.fixture(scope="session")
def provisioned(house: dict[str, str], tell: Tell, request: pytest.FixtureRequest) -> Provisioned:
    """Give a provisioned card: the one that part 2 makes, one that was kept, or one made now."""
    provisioned = Provisioned.of(house)
    is_being_made = any(item.path.stem == "test_2_provision" for item in request.session.items)
    if is_being_made and not PART_2_OVER.exists():
        tell("  waiting for the card that part 2 makes")
        while not PART_2_OVER.exists():
            time.sleep(1)
    with provisioned.lock():
        if provisioned.card.exists():
            return provisioned
        tell("  there is no provisioned card of this state of the project: making one")
        computer = provisioned.new_computer(house, PASSWORD)
        with bare_machine("provisioned", provisioned.key) as bench:
            target = go_by_ssh(bench, computer)
            done = computer.provision(target, seen=lambda line: tell(f"  {line}"))
            assert done.returncode == 0, "provisioning has failed, see above"
            bench.shut_down()
            provisioned.keep_card_of(bench)
    return provisioned


@pytest.fixture(scope="module")
def pi(provisioned: Provisioned, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Give a virtual Pi with a fresh copy of the provisioned card, switched off."""
    with Bench(STATE / request.path.stem.removeprefix("test_"), IMAGE, provisioned.key) as bench:
        bench.insert(provisioned.card)
        yield bench
    bench.machine.card.unlink(missing_ok=True)
