"""`pzem`: run a command of the collector on the Pi, with the collector out of its way."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller import provision, reach
from controller.house import HOUSE_FILE, ROOT, read_house
from controller.messages import ProblemError, tell
from controller.place import HouseFolder, passing_folder

USAGE: Final = """\
Usage: ./appliance pzem HOST COMMAND [ARGUMENT ...]

  HOST is pi@HOST, a name in inventory/hosts.yml, or localhost on the Pi itself.
  COMMAND is one of the collector's: status, outages, scan, read, set-address,
  reset-energy, alarm-threshold, meter-replaced, import-original, rollup, check-config;
  ./appliance pzem HOST --help lists them.
  One that needs a port has the collector stopped meanwhile."""

_ON_THE_PI: Final = """\
[ -x /usr/local/bin/pzem ] || {
    echo "the collector is not installed here; first: ./appliance provision" >&2
    exit 1
}
case $1 in scan | read | set-address | reset-energy | alarm-threshold)
    case $(systemctl is-active pzem.service) in active | activating | reloading)
        set -- --property=Conflicts=pzem.service --property=After=pzem.service \\
            --property='ExecStopPost=+/usr/bin/systemctl --no-block start pzem.service' \\
            -- /usr/local/bin/pzem "$@"
    esac
esac
case $1 in --property=*) ;; *) set -- -- /usr/local/bin/pzem "$@" ;; esac
export SYSTEMD_TINT_BACKGROUND=0 SYSTEMD_ADJUST_TERMINAL_TITLE=0 # it is no other machine
exec systemd-run --quiet --collect --wait @MODE@ --service-type=exec \\
    --description='pzem, started by hand' --property=User=pzem \\
    --property=SupplementaryGroups=dialout "$@"
"""
"""The service manager itself stops the collector and starts it again, so that this happens
whatever becomes of the command, of ssh, or of whoever pressed Ctrl-C."""


def main(argv: Sequence[str]) -> int:
    """Run one command of the collector; return its exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        tell(USAGE)
        return 0
    if len(argv) == 1:
        raise ProblemError("which command? Such as: ./appliance pzem pi@HOST scan", code=2)
    host = provision.find_hosts(argv[0])[0]
    folder = HouseFolder(read_house(ROOT / HOUSE_FILE, str(HOUSE_FILE)).name)
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    with passing_folder() as scratch:
        if provision.is_local(host):
            if not Path("/usr/local/bin/pzem").exists():
                raise ProblemError(
                    "the collector is not installed on this computer; first: "
                    "./appliance provision localhost, or name the Pi"
                )
            return _run(shell_words(argv[1:], tty=tty, ask=tty))
        pi = reach.over_ssh(host, folder, scratch, keep=True, new_card=False)
        words = shlex.join(shell_words(argv[1:], tty=tty, ask=tty))
        return _run(pi.command(words, tty=tty, quiet=True))


def shell_words(arguments: Sequence[str], *, tty: bool, ask: bool) -> list[str]:
    """Return the command line for the Pi; with `ask`, sudo may ask for a password."""
    script = _ON_THE_PI.replace("@MODE@", "--pty" if tty else "--pipe")
    sudo = ["sudo"] if ask else ["sudo", "-n"]
    return [*sudo, "sh", "-c", script, "pzem", *arguments]


def _run(line: Sequence[str]) -> int:
    running = subprocess.Popen(list(line))
    while True:
        try:
            return running.wait()
        except KeyboardInterrupt:  # the command got it too
            continue
