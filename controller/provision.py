"""`provision`: make a Raspberry Pi the appliance of the house."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller import ansible, reach, terminal
from controller.house import HOSTS_FILE, HOUSE_FILE, ROOT, Host, House, read_hosts, read_house
from controller.messages import ProblemError, tell
from controller.place import HouseFolder, passing_folder

LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_TARGET = re.compile(
    r"(?:(?P<user>[^@\s-][^@\s]*)@)?(?P<address>[A-Za-z0-9_\[:][A-Za-z0-9_.:%\]-]*)"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="./appliance provision",
        description="Make a Raspberry Pi the appliance of the house, or bring it up to date.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="pi@HOST, HOST, or localhost on the Pi itself; without it, those of hosts.yml",
    )
    parser.add_argument("--check", action="store_true", help="only tell what would be changed")
    parser.add_argument(
        "--new-card", action="store_true", help="the Pi has a new SD card: forget its old host key"
    )
    parser.add_argument(
        "--password-file",
        "--become-password-file",
        type=Path,
        metavar="FILE",
        help="holds the password of the user on the Pi, for sudo and for ssh where it asks for one",
    )
    parser.add_argument(
        "--any-computer", action="store_true", help="localhost need not be a Raspberry Pi"
    )
    parser.add_argument(
        "-e", "--extra-vars", action="append", default=[], metavar="KEY=VALUE", help="for Ansible"
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="show all that Ansible says"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Provision one machine, or each of those in hosts.yml."""
    args = parser().parse_args(argv)
    hosts = find_hosts(args.target, check=args.check)
    if not args.check:
        _first_use(HOUSE_FILE, ": it describes the original house; change it where yours differs.")
    house = read_house(ROOT / HOUSE_FILE, str(HOUSE_FILE))
    password = read_password(args.password_file)
    for host in hosts:
        code = _provision(host, house, password, args)
        if code != 0:
            return code
    return 0


def find_hosts(target: str | None, *, check: bool = False) -> list[Host]:
    """Return what is meant by `target`: one machine, or without it those of hosts.yml."""
    if target is None:
        if not (ROOT / HOSTS_FILE).exists():
            named = "name it: ./appliance provision pi@192.168.1.123"
            if check:
                raise ProblemError(f"which Raspberry Pi? Please {named}", code=2)
            _first_use(HOSTS_FILE, ".")
            raise ProblemError(
                f"which Raspberry Pi? Write its address in {HOSTS_FILE}, or {named}", code=2
            )
        return read_hosts(ROOT / HOSTS_FILE, str(HOSTS_FILE))
    parts = _TARGET.fullmatch(target)
    if parts is None:
        raise ProblemError(
            f"{target} is no machine; write pi@192.168.1.123, a name, or localhost", code=2
        )
    user, address = parts["user"], parts["address"].strip("[]")
    settings: dict[str, str | int] = {"ansible_host": address}
    if (ROOT / HOSTS_FILE).exists():
        for host in read_hosts(ROOT / HOSTS_FILE, str(HOSTS_FILE)):
            if address in (host.name, host.address):
                settings = {"ansible_host": host.address, **host.settings}
    if user:
        settings["ansible_user"] = user
    return [Host(address, settings)]


def is_local(host: Host) -> bool:
    """Tell whether this very machine is meant; a port is one of ssh, such as that of a tunnel."""
    reached = "ssh" if "ansible_port" in host.settings else None
    connection = host.settings.get("ansible_connection", reached)
    return connection == "local" or (connection is None and host.address in LOCAL)


def read_password(path: Path | None) -> str | None:
    """Read the password file; a path is meant as seen from where the command was given."""
    if path is None:
        return None
    path = Path(os.environ.get("APPLIANCE_CALLED_FROM", ".")) / path.expanduser()
    try:
        password = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise ProblemError(f"{path}: the password cannot be read: {why}", code=2) from error
    if not password:
        raise ProblemError(f"{path} is empty; write the password in it", code=2)
    return password


def _first_use(path: Path, what: str) -> None:
    if not os.path.lexists(ROOT / path):
        shutil.copy(ROOT / f"{path}.example", ROOT / path)
        tell(f"Made {path}{what}")


def _provision(host: Host, house: House, given: str | None, args: argparse.Namespace) -> int:
    folder = HouseFolder(house.name)
    keep = not args.check
    _explain(host, house, folder, check=args.check)
    with passing_folder() as scratch:
        connection_password = None
        variables: dict[str, str | int] = {"ansible_connection": "local"}
        if is_local(host):
            _confirm_this_computer(any_computer=args.any_computer)
            if keep:
                folder.make()
            become_password = reach.root_password(reach.Here(), given)
            name = "localhost"
        else:
            pi = reach.over_ssh(
                host, folder, scratch, keep=keep, new_card=args.new_card, password=given
            )
            become_password = reach.root_password(pi, given, likely=pi.typed)
            connection_password = pi.password
            name, variables = inventory_name(host), reach.for_ansible(pi)
        log = folder.new_log() if keep and not args.verbose else None
        words = [word for pair in args.extra_vars for word in ("--extra-vars", pair)]
        if args.check:
            words.append("--check")
        else:
            words += ["--extra-vars", json.dumps({"appliance_screens_file": str(folder.screens)})]
        code = ansible.play(
            "provision.yml",
            ansible.inventory(scratch, name, variables),
            words,
            log=log,
            verbose=args.verbose,
            become_password=become_password,
            connection_password=connection_password,
        )
    _conclude(host, code, log)
    if code == 0 and keep and is_local(host):
        _restart_here(become_password)
    return code


def inventory_name(host: Host) -> str:
    """Return what Ansible calls the machine."""
    # Ansible takes a machine with a name of this one for it, wherever that is reached.
    good = re.fullmatch(r"[A-Za-z0-9_.-]+", host.name) and host.name not in LOCAL
    return host.name if good else "pi"


def _explain(host: Host, house: House, folder: HouseFolder, *, check: bool) -> None:
    values = house.values
    where = "this computer" if is_local(host) else f"{host.address}, over ssh"
    if user := host.settings.get("ansible_user"):
        where = f"{user}@{where}" if not is_local(host) else where
    extras = ["serial port", "watchdog"]
    if values["house_shutdown_button"]:
        extras.append(f"shutdown button (GPIO {values['house_shutdown_button_gpio']})")
    if values["house_rtc_overlay"]:
        extras.append(f"clock module {values['house_rtc_overlay']}")
    tell()
    tell(f"  House    {house.name}")
    tell(f"  Pi       {where}")
    for number, meter in enumerate(house.meters):
        label = meter.get("label", meter["name"])
        title = "Meters " if number == 0 else "       "
        tell(f"  {title}  {label}: {meter['name']}, address {meter['address']}, {meter['supply']}")
    tell()
    tell("This will be tried out, and nothing changed:" if check else "What is going to happen:")
    upgrade = "is brought up to date, and " if values["house_upgrade"] else ""
    tell(f"  - the system {upgrade}gets security updates by itself from then on")
    tell(f"  - set up: {', '.join(extras)}")
    tell("  - installed: the collector (pzem), InfluxDB, which keeps the readings, and Grafana,")
    tell("    which shows them; readings that are there already stay")
    tell(f"  - passwords are made where there are none, and kept on the Pi and in {folder}")
    ending = "asks whether to restart" if is_local(host) else "restarts once"
    tell(f"  - the Pi {ending} at the end, if anything waits for that")
    if not check:
        tell("Ctrl-C does no harm: the same command again goes on from there.")
    tell()


def _confirm_this_computer(*, any_computer: bool) -> None:
    try:
        model = Path("/proc/device-tree/model").read_text(encoding="utf-8")
    except OSError:
        model = ""
    if any_computer or "Raspberry Pi" in model:
        return
    refusal = ProblemError(
        "this computer is no Raspberry Pi; name yours: ./appliance provision pi@192.168.1.123 "
        "(or add --any-computer, if this one really is to become the appliance)",
        code=2,
    )
    if not terminal.attended():
        raise refusal
    tell("This computer is no Raspberry Pi. It would become the appliance itself:")
    if not terminal.ask_yes("its name, updates, watchdog and log are changed. Go on?"):
        raise refusal


def _conclude(host: Host, code: int, log: Path | None) -> None:
    if code == ansible.INTERRUPTED:
        tell()
        raise ProblemError("interrupted; the same command again goes on from there", code=code)
    if code != 0:
        details = "the same command with -v shows all of it"
        if log:
            details = f"details are in {log}; {details}"
        raise ProblemError(f"{host.name} is not finished; {details}", code=1)


def _restart_here(become_password: str | None) -> None:
    if not Path("/run/reboot-required").exists():
        return
    in_container = ["systemd-detect-virt", "--container", "--quiet"]
    if subprocess.run(in_container, check=False).returncode == 0:
        return  # whoever runs it restarts it
    tell("The Pi has to restart before all of this is in effect. What it finds out after that")
    tell("is shown at the next log-in.")
    if not (terminal.attended() and terminal.ask_yes("Restart now?")):
        tell("When it suits you: sudo reboot")
        return
    line = ["reboot"] if os.geteuid() == 0 else ["sudo", "-k", "-S", "-p", "", "reboot"]
    subprocess.run(line, check=False, input=f"{become_password or ''}\n", text=True)
