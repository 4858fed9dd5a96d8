"""The serial adapters that are plugged in, as the system shows them. Nothing is opened."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

_USB_SOCKET = re.compile(r"/(\d+-[\d.]+:\d+\.\d+)(?:/|$)")


Device = tuple[int, int]
"""Device number and inode of a tty's node. The number goes with the name; the inode is
another one when an adapter was pulled and the next one got its name."""


def present_ports(patterns: Iterable[str], exclude: Iterable[str] = ()) -> dict[str, Device]:
    """Return the ttys that exist now: path, as configured, to device.

    Two names of one device count once, and a device is excluded by any of its names.
    Names that are no character device are left out.
    """
    excluded = tuple(exclude)
    shut = {os.path.realpath(path) for pattern in excluded for path in glob.glob(pattern)}
    present: dict[str, Device] = {}
    for pattern in patterns:
        for path in sorted(glob.glob(pattern), key=_natural):
            device = os.path.realpath(path)
            if device in shut or any(fnmatch(n, x) for n in (path, device) for x in excluded):
                continue
            try:
                status = os.stat(path)
            except OSError:
                continue
            known = {number for number, _ in present.values()}
            if stat.S_ISCHR(status.st_mode) and status.st_rdev not in known:
                present[path] = (status.st_rdev, status.st_ino)
    return present


def usb_socket(path: str) -> str | None:
    """Return the USB socket behind a tty, such as `1-1.2:1.0`; it outlives renumbering."""
    found = _USB_SOCKET.search(str(_device(path)))
    return found[1] if found else None


def usb_model(path: str) -> str | None:
    """Return vendor and product of the USB adapter behind a tty, such as `1a86:7523`."""
    device = _device(path)
    for folder in (device, *device.parents):
        with contextlib.suppress(OSError):
            vendor = (folder / "idVendor").read_text().strip()
            return f"{vendor}:{(folder / 'idProduct').read_text().strip()}"
    return None


def _device(path: str) -> Path:
    name = os.path.basename(os.path.realpath(path))
    return Path(os.path.realpath(f"/sys/class/tty/{name}/device"))


def _natural(path: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path)]
