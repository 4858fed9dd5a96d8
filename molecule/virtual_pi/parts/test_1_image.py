"""The image is what Raspberry Pi OS Lite is to the roles, and the machine has what a Pi has."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from appliance import SHARED
from virtual_pi.bench import Bench
from virtual_pi.cards import bare_machine
from virtual_pi.machine import MEMORY_MIB
from virtual_pi.waiting import wait_until
from virtual_pi.watchdog import watchdogs_held_by_systemd

BOOT = "/boot/firmware"
# Asks each adapter for the ten registers of each address, with what a bare system has.
ASK_METERS = """
import os, select, sys, termios, tty
def crc(frame):
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")
for port in sys.argv[1:]:
    tty_ = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(tty_)
    settings = termios.tcgetattr(tty_)
    settings[4] = settings[5] = termios.B9600
    termios.tcsetattr(tty_, termios.TCSANOW, settings)
    for address in (4, 5, 6):
        request = bytes([address, 4, 0, 0, 0, 10])
        os.write(tty_, request + crc(request))
        reply = b""
        while len(reply) < 25 and select.select([tty_], [], [], 2)[0]:
            reply += os.read(tty_, 64)
        if len(reply) == 25 and crc(reply) == bytes(2):
            print(port, address)
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Give the bare machine; this is also the test that it starts."""
    with bare_machine("1_image") as bench:
        yield bench


@pytest.fixture(scope="module")
def host(bench: Bench) -> Host:
    return bench.host


def test_it_starts_without_a_failed_unit(bench: Bench, host: Host) -> None:
    assert bench.wait_until_running() == "running"


def test_it_is_a_64_bit_debian_13(host: Host) -> None:
    assert host.system_info.distribution == "debian"
    assert host.system_info.release.split(".")[0] == "13"
    assert host.check_output("getconf LONG_BIT") == "64"


def test_it_has_one_gigabyte_of_memory(host: Host) -> None:
    (kilobytes,) = re.findall(r"MemTotal: +(\d+)", host.file("/proc/meminfo").content_string)
    assert 0.85 * MEMORY_MIB < int(kilobytes) / 1024 <= MEMORY_MIB


def test_the_boot_partition_is_that_of_raspberry_pi_os(host: Host) -> None:
    mounted = host.mount_point(BOOT)
    assert (mounted.exists, mounted.filesystem) == (True, "vfat")
    for original in (SHARED / "image/files/boot/firmware").iterdir():
        assert host.file(f"{BOOT}/{original.name}").content == original.read_bytes()
    assert host.mount_point("/").filesystem == "ext4"


def test_the_kernel_was_started_with_the_words_on_the_card(host: Host) -> None:
    words = host.file(f"{BOOT}/cmdline.txt").content_string.split()
    assert host.file("/proc/cmdline").content_string.split()[: len(words)] == words


def test_its_user_may_become_root_with_a_password_only(host: Host) -> None:
    assert host.check_output("sudo -u pi id --user --name") == "pi"
    refused = host.run("sudo -u pi sudo -n true")
    assert refused.rc != 0
    assert "password is required" in refused.stderr
    assert host.user("root").password in ("*", "!", "!*")
    assert not host.file("/root/.ssh/authorized_keys").exists
    assert not host.file("/home/pi/.ssh/authorized_keys").exists


def test_each_meter_answers_on_an_adapter_of_its_own(host: Host) -> None:
    ports = [f"/dev/ttyUSB{number}" for number in range(3)]
    heard = host.check_output("python3 -c %s %s %s %s", ASK_METERS, *ports).splitlines()
    answered = [line.split() for line in heard]
    assert sorted(port for port, _ in answered) == ports
    assert sorted(address for _, address in answered) == ["4", "5", "6"]
    assert not host.file("/dev/ttyUSB3").exists


def test_the_watchdog_is_held_by_systemd(host: Host) -> None:
    assert watchdogs_held_by_systemd(host) == ["watchdog0"]


def test_it_has_no_clock_of_its_own_and_got_the_time(host: Host) -> None:
    assert not host.file("/dev/rtc0").exists
    synchronized = "timedatectl show --value --property=NTPSynchronized"
    wait_until(lambda: host.check_output(synchronized) == "yes", 60, "the time is not there")


def test_nothing_of_the_appliance_is_there(host: Host) -> None:
    for command in ("influxd", "grafana", "pzem"):
        assert not host.exists(command), command
