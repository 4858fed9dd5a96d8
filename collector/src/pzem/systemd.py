"""The two words that systemd wants to hear, and logging as the journal likes it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from typing import Final, TextIO

_PRIORITIES: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""Levels of syslog(3), read by the journal from a `<N>` before each line (sd-daemon(3))."""


def notify(state: str) -> None:
    """Tell systemd `state`, such as `READY=1` (sd_notify(3)); without it, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # If systemd cannot be reached, its watchdog notices soon enough.
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to_systemd,
    ):
        to_systemd.sendto(state.encode(), address)


class _JournalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def set_up_logging(level: int = logging.INFO) -> None:
    """Log to stderr: with priorities under systemd, with the time of day elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    if _leads_to_journal(sys.stderr):
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _leads_to_journal(stream: TextIO) -> bool:
    """Tell whether systemd connected `stream`; its variable alone may be inherited."""
    journal = os.environ.get("JOURNAL_STREAM")
    if not journal:
        return False
    status = os.fstat(stream.fileno())
    return journal == f"{status.st_dev}:{status.st_ino}"
