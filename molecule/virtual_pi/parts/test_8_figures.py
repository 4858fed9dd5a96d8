"""What it costs: the time of a start, bytes written to the card, memory."""

from __future__ import annotations

import os
import re
import time

import pytest

from appliance import EXPECTED
from virtual_pi.bench import Bench
from virtual_pi.progress import Figure

SETTLED_S = 180.0
"""From the first stored slot: what only belongs to a start is over."""
STEADY_S = float(os.environ.get("VIRTUAL_PI_STEADY_S", "600"))


@pytest.fixture(scope="module")
def running(pi: Bench, figure: Figure) -> Bench:
    ssh_after_s = pi.start()
    slot = pi.wait_for_slots(pi.powered_s)
    pi.wait_until_running()
    pi.wait_for_grafana()
    figure("power to ssh", f"{ssh_after_s:.0f} s")
    figure("power to first stored slot", f"{slot - pi.powered_s:.0f} s")
    return pi


def test_what_is_written_while_nothing_happens(running: Bench, figure: Figure) -> None:
    time.sleep(SETTLED_S)
    running.hang_up()
    before, begin = running.machine.counters(), time.monotonic()
    time.sleep(STEADY_S)
    after, took_s = running.machine.counters(), time.monotonic() - begin
    hourly = {name: (after[name] - before[name]) * 3600 / took_s for name in after}
    assert hourly["wr_bytes"] > 0
    figure("written to the card", f"{hourly['wr_bytes'] / 1e6:.0f} MB an hour")
    figure("flushes of the card", f"{hourly['flush_operations']:.0f} an hour")


@pytest.mark.parametrize("unit", EXPECTED["services"])
def test_how_much_memory_a_service_uses(running: Bench, figure: Figure, unit: str) -> None:
    shown = running.host.check_output("systemctl show -p MemoryCurrent -p MemoryPeak %s", unit)
    memory = dict(line.split("=") for line in shown.splitlines())
    process = running.host.check_output("systemctl show --value -p MainPID %s", unit)
    status = running.host.file(f"/proc/{process}/status").content_string
    (own,) = re.findall(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    now, most = (int(memory[name]) / 2**20 for name in ("MemoryCurrent", "MemoryPeak"))
    figure(
        f"memory of {unit.removesuffix('.service')}",
        f"{int(own) / 1024:.0f} MiB anonymous; with files {now:.0f} MiB, at most {most:.0f} MiB",
    )


def test_how_much_memory_is_left(running: Bench, figure: Figure) -> None:
    numbers = running.host.check_output("free --mebi").splitlines()[1].split()
    figure("memory available, of 1 GB", f"{numbers[-1]} MiB of {numbers[1]} MiB")
    assert int(numbers[-1]) > 100
