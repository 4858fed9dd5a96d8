"""Running a command as root on the Pi, or here where this computer is the Pi."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from controller import provision, reach
from controller.house import HOUSE_FILE, ROOT, read_house
from controller.messages import ProblemError
from controller.place import HouseFolder, passing_folder


def run(address: str, words: Sequence[str], needs: Path, what: str) -> int:
    """Run `words` as root on the machine that `address` names; return the exit code.

    Here it is refused if `needs` is not there: `what` is not installed then.
    """
    host = provision.find_hosts(address)[0]
    folder = HouseFolder(read_house(ROOT / HOUSE_FILE, str(HOUSE_FILE)).name)
    tty = is_terminal()
    line = [*(["sudo"] if tty else ["sudo", "-n"]), *words]
    with passing_folder() as scratch:
        if provision.is_local(host):
            if not needs.exists():
                raise ProblemError(
                    f"{what} is not installed on this computer; first: "
                    "./appliance provision localhost, or name the Pi"
                )
            return _wait(line)
        pi = reach.over_ssh(host, folder, scratch, keep=True, new_card=False)
        return _wait(pi.command(shlex.join(line), tty=tty, quiet=True))


def is_terminal() -> bool:
    """Tell whether somebody can be asked, and sees colours."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _wait(line: Sequence[str]) -> int:
    running = subprocess.Popen(list(line))
    while True:
        try:
            return running.wait()
        except KeyboardInterrupt:  # the command got it too
            continue
