"""Which watchdog the machine's systemd holds."""

from __future__ import annotations

from testinfra.host import Host

# Of the two names systemd takes the old one when the other is not there yet.
OPENED_BY_SYSTEMD = r"find /proc/1/fd -lname '/dev/watchdog*' -printf '%l\n'"
OLD_NAMES = {"watchdog": "watchdog0"}


def watchdogs_held_by_systemd(host: Host) -> list[str]:
    """Return the kernel's names of the watchdogs that systemd has opened and that run.

    ``/dev/watchdog`` is the old name of the first one, ``watchdog0``; the kernel makes both
    (Documentation/watchdog/watchdog-kernel-api.rst, ``id``).
    """
    devices = host.check_output(OPENED_BY_SYSTEMD).splitlines()
    opened = [device.removeprefix("/dev/") for device in devices]
    held = [OLD_NAMES.get(name, name) for name in opened]
    return [name for name in held if _state(host, name) == "active"]


def _state(host: Host, name: str) -> str:
    state: str = host.file(f"/sys/class/watchdog/{name}/state").content_string.strip()
    return state
