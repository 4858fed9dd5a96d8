"""`pzem`: run a command of the collector on the Pi, with the collector out of its way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller import on_the_pi
from controller.messages import ProblemError, tell

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
    words = shell_words(argv[1:], tty=on_the_pi.is_terminal())
    return on_the_pi.run(argv[0], words, Path("/usr/local/bin/pzem"), "the collector")


def shell_words(arguments: Sequence[str], *, tty: bool) -> list[str]:
    """Return what runs a command of the collector, as root."""
    script = _ON_THE_PI.replace("@MODE@", "--pty" if tty else "--pipe")
    return ["sh", "-c", script, "pzem", *arguments]
