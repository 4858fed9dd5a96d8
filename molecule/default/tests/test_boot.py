"""The boot partition, the watchdog, and the serial line's login shell."""

import difflib

import pytest
from testinfra.host import Host

from appliance import EXPECTED, SHARED

BOOT = "/boot/firmware"
ORIGINAL = SHARED / "image" / "files" / "boot" / "firmware"


@pytest.mark.parametrize("name", ["config.txt", "cmdline.txt"])
def test_a_copy_of_what_was_there_before_is_kept(host: Host, name: str) -> None:
    kept = host.file(f"{BOOT}/{name}.before-appliance").content
    assert kept == ORIGINAL.joinpath(name).read_bytes()


def test_config_txt_has_the_added_lines_and_is_otherwise_as_it_was(host: Host) -> None:
    before = ORIGINAL.joinpath("config.txt").read_text(encoding="utf-8").splitlines()
    after = host.file(f"{BOOT}/config.txt").content_string.splitlines()
    changes = [line for line in difflib.ndiff(before, after) if not line.startswith("  ")]
    assert [line for line in changes if line.startswith("- ")] == []
    settings = [line[2:] for line in changes if line.startswith("+ ") and "#" not in line]
    assert [line for line in settings if line.strip() not in ("", "[all]")] == EXPECTED["boot"][
        "config_txt_added"
    ]


def test_what_was_added_to_config_txt_holds_for_every_board(host: Host) -> None:
    section = "[all]"
    sections = {}
    for line in host.file(f"{BOOT}/config.txt").content_string.splitlines():
        if line.startswith("["):
            section = line
        sections[line] = section
    assert {sections[line] for line in EXPECTED["boot"]["config_txt_added"]} == {"[all]"}


def test_cmdline_txt_is_one_line_without_the_serial_console(host: Host) -> None:
    assert host.file(f"{BOOT}/cmdline.txt").content_string == EXPECTED["boot"]["cmdline_txt"] + "\n"


def test_the_boot_partition_holds_no_half_written_file(host: Host) -> None:
    assert set(host.file(BOOT).listdir()) == {
        "cmdline.txt",
        "cmdline.txt.before-appliance",
        "config.txt",
        "config.txt.before-appliance",
    }


@pytest.mark.parametrize("unit", EXPECTED["boot"]["masked"])
def test_no_login_shell_on_the_serial_line(host: Host, unit: str) -> None:
    assert host.check_output("systemctl show --value -p LoadState %s", unit) == "masked"


@pytest.mark.parametrize(("name", "value"), EXPECTED["manager"].items())
def test_systemd_itself_reports_the_timeouts(host: Host, name: str, value: str) -> None:
    assert host.check_output("systemctl show --value -p %s", name) == value
