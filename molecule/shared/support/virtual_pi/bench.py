"""The workbench: a virtual Pi with meters on its adapters, and somebody at the keyboard."""

from __future__ import annotations

import math
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import requests
from testinfra.host import Host

from appliance import INTERVAL_S, METERS, Screens, rows
from pzem.testing import ORIGINAL_WIRING, SimulatedHouse, Simulator
from virtual_pi import remote
from virtual_pi.adapters import Bridge
from virtual_pi.machine import VirtualPi
from virtual_pi.waiting import wait_until

BOOT_TIMEOUT_S: Final = 600.0
"""From power to ssh; it takes one to three minutes, and the file system may want a check."""
LOGIN_TIMEOUT_S: Final = 60.0
"""It takes two seconds, and longer while everything starts."""
SLOT_TIMEOUT_S: Final = 420.0
"""From ssh to a stored slot: the time has to be got first."""
GRAFANA_TIMEOUT_S: Final = 600.0
Slots = dict[int, dict[str, dict[str, Any]]]
"""Points by slot and meter."""
_NAME: Final = "virtual-pi"

_SSH_CONFIG: Final = """\
Host {name}
    HostName 127.0.0.1
    Port {port}
    User pi
    IdentityFile {key}
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    ServerAliveInterval 15
    ServerAliveCountMax 8
    ControlPath {control}/%C
"""


class Bench:
    """One virtual Pi, the meters of the original house in its first three ports.

    `folder` keeps what is to be looked at afterwards. As a context manager, the meters live
    until it ends, and the power is cut then.
    """

    def __init__(self, folder: Path, image: Path, key: Path) -> None:
        """`image` is what the card and kernel were built into, `key` opens ssh if it is known."""
        self.folder = folder
        self.image = image
        self._stack = ExitStack()
        self.machine = VirtualPi(folder, self._reserve_port(), self._reserve_port())
        self.journal = folder / "meters.journal"
        self.adapters = {
            wiring.name: folder / "meters" / f"ttyUSB{number}"
            for number, wiring in enumerate(ORIGINAL_WIRING)
        }
        """The adapter that each meter hangs on, as the simulator's orders call it."""
        self._key = key
        self.powered_s = 0.0
        """When the power came, in s since 1970."""

    def __enter__(self) -> Self:
        (self.folder / "meters").mkdir(parents=True, exist_ok=True)
        self.journal.unlink(missing_ok=True)
        enter = self._stack.enter_context
        house = SimulatedHouse(ORIGINAL_WIRING)
        lines = {link: [house.meters[name]] for name, link in self.adapters.items()}
        self.simulator = enter(Simulator.with_meters(lines, house, journal_file=self.journal))
        *ports, self.free_usb_port = self.machine.usb_ports
        enter(Bridge(dict(zip(ports, self.adapters.values(), strict=True))))
        control = Path(enter(tempfile.TemporaryDirectory(prefix="virtual-pi-")))
        config = self.folder / "ssh_config"
        config.write_text(
            _SSH_CONFIG.format(
                name=_NAME, port=self.machine.ssh_port, key=self._key, control=control
            ),
            encoding="utf-8",
        )
        self.ssh_config = config
        self.host: Host = remote.connect(_NAME, str(config))
        self._stack.callback(self.cut)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def name(self) -> str:
        """Return what ssh_config calls the machine."""
        return _NAME

    @property
    def screens_url(self) -> str:
        """Where Grafana is to be found from outside the machine."""
        return f"http://127.0.0.1:{self.machine.web_port}"

    def insert(self, card: Path) -> None:
        """Put in a copy of a card."""
        self.hang_up()
        self.machine.insert(card)

    def start(self, *, internet: bool = True) -> float:
        """Give it power and wait for ssh; return after how many s it was there."""
        self.hang_up()
        self.machine.power_on(self.image)
        self.machine.set_internet(there=internet)
        self.powered_s = time.time()
        return wait_until(self._lets_in, BOOT_TIMEOUT_S, "ssh did not let anybody in")

    def cut(self) -> float:
        """Take its power away; return when that was, in s since 1970."""
        moment_s = time.time()
        self.machine.cut()
        self.hang_up()
        return moment_s

    def shut_down(self) -> None:
        """Have it shut itself down, and wait until all of it is on the card."""
        with suppress(RuntimeError):  # ssh may be gone before it has answered
            self.host.run("systemctl poweroff")
        self.hang_up()
        self.machine.wait_until_off(timeout_s=300)

    def hang_up(self) -> None:
        """End the connection that ssh keeps open for the next command."""
        line = ["ssh", "-F", str(self.ssh_config), "-O", "exit", _NAME]
        subprocess.run(line, check=False, stdin=subprocess.DEVNULL, capture_output=True)

    def unpack(self, archive: Path, folder: str) -> None:
        """Unpack a tar file in a new folder of the user's home."""
        line = ["ssh", "-F", str(self.ssh_config), _NAME, f"mkdir {folder} && tar xf - -C {folder}"]
        with archive.open("rb") as content:
            subprocess.run(line, check=True, stdin=content, env=remote.ssh_environment())

    def _lets_in(self) -> bool:
        """Tell whether somebody can log in.

        QEMU takes a connection long before sshd does, so nothing less proves anything; and
        whoever leaves before he has logged in is an error to sshd.
        """
        line = ["ssh", "-F", str(self.ssh_config), "-o", "ControlPath=none"]
        line += ["-o", f"ConnectTimeout={LOGIN_TIMEOUT_S:.0f}", _NAME, "true"]
        tried = subprocess.run(
            line,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=remote.ssh_environment(),
        )
        return tried.returncode == 0

    def boot_id(self) -> str:
        """Return what is another one after each start."""
        return str(self.host.check_output("cat /proc/sys/kernel/random/boot_id"))

    def wait_for_another_boot(self, before: str, timeout_s: float = BOOT_TIMEOUT_S) -> float:
        """Wait until it has started anew; return after how many s. Raises `TimeoutError`."""

        def anew() -> bool:
            self.hang_up()
            with suppress(RuntimeError, AssertionError, subprocess.TimeoutExpired):
                return self._lets_in() and self.boot_id() != before
            return False

        return wait_until(anew, timeout_s, "it did not start anew")

    def wait_until_running(self) -> str:
        """Wait until the start is over; return what systemd calls the state of the machine."""
        return str(self.host.run("systemctl is-system-running --wait").stdout.strip())

    def wait_for_grafana(self) -> None:
        """Wait until Grafana answers, minutes after systemd has called it running.

        So long the emulated processor has little time for anything else. Raises `TimeoutError`.
        """

        def answers() -> bool:
            with suppress(requests.RequestException):
                return Screens(self.screens_url).ask("/api/health")[0] == HTTPStatus.OK
            return False

        wait_until(answers, GRAFANA_TIMEOUT_S, "Grafana did not answer")

    def wait_for_slots(self, since_s: float, timeout_s: float = SLOT_TIMEOUT_S) -> int:
        """Wait until all meters are stored in a slot after `since_s`; return the first such slot.

        Raises `TimeoutError`.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with suppress(AssertionError, KeyError):  # InfluxDB may not be there yet
                slots = self.stored(since_s)
                complete = [slot for slot, meters in slots.items() if set(meters) == set(METERS)]
                if complete:
                    return min(complete)
            time.sleep(INTERVAL_S)
        raise TimeoutError(f"no slot of all meters was stored within {timeout_s:.0f} s")

    def stored(self, since_s: float, until_s: float | None = None) -> Slots:
        """Return the points of the measurement `meter` from `since_s` on, by slot and meter."""
        until = "" if until_s is None else f" AND time <= {int(until_s)}s"
        found = rows(self.host, f"SELECT * FROM meter WHERE time >= {math.ceil(since_s)}s{until}")
        slots: Slots = {}
        for row in found:
            slots.setdefault(row["time"], {})[row["meter"]] = row
        return slots

    def copy_card_to(self, target: Path) -> None:
        """Keep a copy of the card; the machine must be off."""
        assert not self.machine.is_on, "its card is in use"
        new = target.with_suffix(".new")
        line = ["cp", "--sparse=always", "--reflink=auto", str(self.machine.card), str(new)]
        subprocess.run(line, check=True)
        new.replace(target)

    def _reserve_port(self) -> int:
        """Return a free port that is the machine's until the end, whether it is on or off.

        A socket that is bound and does not listen keeps others from being given the port, and
        QEMU, which asks for an address to be used again, from nothing.
        """
        place = self._stack.enter_context(socket.socket())
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port
