"""`test-mail`: have the Pi send a message, and tell what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller import on_the_pi
from controller.messages import ProblemError, tell

USAGE: Final = """\
Usage: ./appliance test-mail HOST [ADDRESS]

  HOST is pi@HOST, a name in inventory/hosts.yml, or localhost on the Pi itself.
  ADDRESS gets the message instead of house_mail_recipients.
  Tells whether the provider has taken it, and what else waits to be sent."""

COMMAND: Final = Path("/usr/local/sbin/house-test-mail")


def main(argv: Sequence[str]) -> int:
    """Send a test message from one host; return the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        tell(USAGE)
        return 0
    if len(argv) > 2:
        raise ProblemError("one host and one address at most; see ./appliance test-mail", code=2)
    return on_the_pi.run(argv[0], [str(COMMAND), *argv[1:]], COMMAND, "the mail relay")
