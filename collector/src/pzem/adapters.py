"""The serial adapters that are plugged in, as the system shows them. Nothing is opened."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable
from fnmatch import fnmatch

_USB_SOCKET = re.compile(r"/(\d+-[\d.]+:\d+\.\d+)(?:/|$)")


def present_ports(patterns: Iterable[str], exclude: Iterable[str] = ()) -> dict[str, int]:
    """Return the ttys that exist now: path, as configured, to device number.

    Two names of one device count once. Names that are no character device are left out.
    """
    excluded = tuple(exclude)
    present: dict[str, int] = {}
    for pattern in patterns:
        for path in sorted(glob.glob(pattern), key=_natural):
            names = (path, os.path.realpath(path))
            if any(fnmatch(name, shut) for name in names for shut in excluded):
                continue
            try:
                status = os.stat(path)
            except OSError:
                continue
            if stat.S_ISCHR(status.st_mode) and status.st_rdev not in present.values():
                present[path] = status.st_rdev
    return present


def usb_socket(path: str) -> str | None:
    """Return the USB socket behind a tty, such as `1-1.2:1.0`; it outlives renumbering."""
    device = os.path.realpath(f"/sys/class/tty/{os.path.basename(os.path.realpath(path))}/device")
    found = _USB_SOCKET.search(device)
    return found[1] if found else None


def _natural(path: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path)]
