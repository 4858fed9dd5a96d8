"""`python -m controller COMMAND …`: what ./appliance hands over to."""

from __future__ import annotations

import signal
import sys

from controller import collector, login, provision, send_test
from controller.messages import ProblemError, complain

COMMANDS = {
    "password": login.main,
    "provision": provision.main,
    "pzem": collector.main,
    "test-mail": send_test.main,
}


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        return COMMANDS[argv[0]](argv[1:])
    except ProblemError as error:
        complain(error.lines)
        return error.code
    except KeyboardInterrupt:
        complain(["interrupted"])
        return 130


def _end(number: int, _: object) -> None:
    """End in order, so that nothing is left behind."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
