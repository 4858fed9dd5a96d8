"""A stand-in for the server of a mail provider: keeps what it gets, one file a message.

Usage: mail_provider.py PORT FOLDER; while there is a file named `refuse` in FOLDER, each
message is refused for the time being.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Provider:
    """What the server does with a message."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a message, led by its envelope, or refuse it."""
        if (self._folder / "refuse").exists():
            return "451 4.3.2 not now"
        sender, recipients = envelope.mail_from, ", ".join(envelope.rcpt_tos)
        head = f"X-Envelope-From: {sender}\r\nX-Envelope-To: {recipients}\r\n".encode()
        content = envelope.original_content or b""
        (self._folder / f"{time.time_ns()}.eml").write_bytes(head + content)
        return "250 2.0.0 taken"


controller = Controller(Provider(Path(sys.argv[2])), hostname="127.0.0.1", port=int(sys.argv[1]))
controller.start()
signal.sigwait({signal.SIGTERM, signal.SIGINT})
controller.stop()
