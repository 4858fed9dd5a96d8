"""The watchdog: what stops the whole machine is ended by it, and the appliance comes back."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress

import pytest

from appliance import EXPECTED
from virtual_pi.bench import Bench
from virtual_pi.machine import Events
from virtual_pi.progress import Figure
from virtual_pi.watchdog import watchdogs_held_by_systemd

FREEZE = "echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze"
RESET_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def running(pi: Bench) -> Bench:
    pi.start()
    pi.wait_until_running()
    pi.wait_for_grafana()
    pi.machine.heed_watchdog()
    return pi


def test_systemd_holds_it(running: Bench) -> None:
    host = running.host
    assert watchdogs_held_by_systemd(host) == ["watchdog0"]
    wanted = EXPECTED["manager"]["RuntimeWatchdogUSec"]
    assert host.check_output("systemctl show --value -p RuntimeWatchdogUSec") == wanted
    assert host.file("/sys/class/watchdog/watchdog0/timeout").content_string.strip() == "10"


def reset_by(bench: Bench, order: str, event: str, figure: Figure, what: str) -> None:
    """Give an order that stops systemd; check that the machine starts anew by itself."""
    boot = bench.boot_id()
    with Events(bench.machine) as events:
        begin_s = time.time()
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            bench.host.run(order)
        reset_s = events.wait_for(event, RESET_WITHIN_S)
    figure(what, f"{reset_s - begin_s:.0f} s")
    bench.wait_for_another_boot(boot)
    bench.wait_for_slots(reset_s)
    assert bench.wait_until_running() == "running"
    bench.wait_for_grafana()


def test_a_frozen_systemd_is_reset(running: Bench, figure: Figure) -> None:
    reset_by(running, FREEZE, "WATCHDOG", figure, "from a frozen systemd to the watchdog's reset")


def test_a_systemd_that_crashes_restarts_the_machine(running: Bench, figure: Figure) -> None:
    crash = "kill -SEGV 1"
    reset_by(running, crash, "RESET", figure, "from a crashed systemd to the restart")


def test_so_does_one_that_was_executed_anew(running: Bench, figure: Figure) -> None:
    # As its own updates do, and the role that sets the watchdog's times.
    running.host.check_output("systemctl daemon-reexec")
    time.sleep(5)
    crash = "kill -SEGV 1"
    reset_by(running, crash, "RESET", figure, "the same after it was executed anew")


def test_a_frozen_systemd_that_was_executed_anew_is_reset(running: Bench, figure: Figure) -> None:
    running.host.check_output("systemctl daemon-reexec")
    time.sleep(5)
    what = "the watchdog's reset, after systemd was executed anew"
    reset_by(running, FREEZE, "WATCHDOG", figure, what)
