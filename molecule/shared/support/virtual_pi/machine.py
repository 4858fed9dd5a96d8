"""The board: QEMU without KVM, its card behind nbdkit, and the plug that can be pulled.

    card.raw     the card                     nbd.pid, card.sock   its electronics
    console.log  the serial console           qemu.pid, qmp.sock   the board
    usb1.sock … usb4.sock                     the USB ports, see adapters.py

The card keeps what was flushed. What was only written is in nbdkit's memory and is lost with
the power, as in a card's own cache: that is what its filter `cache` is for.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from virtual_pi import unix
from virtual_pi.waiting import wait_until

NO_CLOCK: Final = "1970-01-01T00:00:00"
"""What a Pi without a battery-backed clock starts from."""
USB_PORTS: Final = 4
MEMORY_MIB: Final = 1024
BOOT_AT_MIB: Final = 8
"""Where card/build puts the boot partition."""
HOUSEHOLD_MAC: Final = "52:54:00:00:00:01"
INTERNET_MAC: Final = "52:54:00:00:00:02"
"""As the card's network files have them."""
_BOARD: Final = (
    # The console is to be seen here whatever the card says.
    "console=ttyS0,115200",
    # A PC's clock would survive a power cut, which a Pi's does not.
    "initcall_blacklist=cmos_init",
    # QEMU has no flaws of processors; to work around them costs a third of the speed.
    "mitigations=off",
    # To look for what a PC has and load what nothing here needs costs a quarter of a start.
    "modprobe.blacklist=ata_generic,ata_piix,button,cfg80211,drm,efi_pstore,floppy,i2c_piix4,"
    "pcspkr,powernow_k8,psmouse,qemu_fw_cfg,serio_raw,vmw_vmci,vmw_vsock_vmci_transport,vsock,"
    "vsock_loopback",
    # Debian's kernel would have systemd compile programs for it, and clear memory twice.
    "lsm=landlock,yama",
    "init_on_alloc=0",
    "8250.nr_uarts=1",
)


class PowerError(RuntimeError):
    """The machine could not be switched on; says why."""


@dataclass(frozen=True)
class VirtualPi:
    """One board with its card; all it knows is in its folder.

    Ports of this machine's loopback lead to its ssh and to its Grafana. That is one line of its
    network, the household's; the other one is the internet, with the time, and can be cut.
    """

    folder: Path
    ssh_port: int
    web_port: int

    @property
    def card(self) -> Path:
        """Return the image of the card."""
        return self.folder / "card.raw"

    @property
    def console(self) -> Path:
        """Return what the serial console has printed since the card was put in."""
        return self.folder / "console.log"

    @property
    def usb_ports(self) -> list[Path]:
        """Return the sockets of the USB ports."""
        return [self.folder / f"usb{number}.sock" for number in range(1, USB_PORTS + 1)]

    @property
    def is_on(self) -> bool:
        """Tell whether the board has power."""
        return self._process("qemu.pid") is not None

    def insert(self, card: Path) -> None:
        """Put in a copy of a card; what was there before is lost, the power is cut."""
        self.cut()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console.unlink(missing_ok=True)
        subprocess.run(
            ["cp", "--sparse=always", "--reflink=auto", str(card), str(self.card)], check=True
        )

    def power_on(self, image: Path) -> None:
        """Give it power; `image` holds the kernel.

        The words for the kernel are those of cmdline.txt on the card, as with a Pi's firmware.
        Raises `PowerError`.
        """
        self.cut()
        words = " ".join([self.cmdline(), *_BOARD])
        household = (
            "user,id=household,net=10.0.3.0/24,restrict=on,"
            f"hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22,"
            f"hostfwd=tcp:127.0.0.1:{self.web_port}-:3000"
        )
        options = {
            "machine": "pc",
            "accel": "tcg",
            # With more, QEMU now and then runs an instruction of which the kernel has patched
            # a part, and the kernel takes that for a defect of its own and stops.
            "smp": "1",
            "cpu": "qemu64,-svm",  # a Pi is no host of virtual machines
            "m": str(MEMORY_MIB),
            "display": "none",
            "kernel": str((image / "vmlinuz").resolve()),
            "initrd": str((image / "initrd.img").resolve()),
            "append": words,
            "rtc": f"base={NO_CLOCK}",
            "action": "watchdog=none",
            "qmp": "unix:qmp.sock,server=on,wait=off",
            "pidfile": "qemu.pid",
        }
        line = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-daemonize"]
        line += [word for name, value in options.items() for word in (f"-{name}", value)]
        line += ["-netdev", household, "-netdev", "user,id=internet"]
        line += ["-chardev", "file,id=console,path=console.log,append=on"]
        line += ["-serial", "chardev:console"]
        line += ["-blockdev", "nbd,node-name=card,server.type=unix,server.path=card.sock"]
        devices = ["virtio-blk-pci,drive=card", "i6300esb", "virtio-rng-pci", "qemu-xhci,id=usb"]
        for network, mac in (("household", HOUSEHOLD_MAC), ("internet", INTERNET_MAC)):
            devices.append(f"virtio-net-pci,netdev={network},mac={mac},romfile=")
        for number, port in enumerate(self.usb_ports, 1):
            line += ["-chardev", f"socket,id=usb{number},path={port.name},server=on,wait=off"]
            devices.append(f"usb-serial,bus=usb.0,port={number},chardev=usb{number}")
        electronics = "nbdkit --unix card.sock --pidfile nbd.pid --filter=cache file card.raw"
        self._start([*electronics.split(), "cache=writeback"])
        self._start([*line, *(word for device in devices for word in ("-device", device))])

    def cmdline(self) -> str:
        """Return the words for the kernel that are on the card; raises `PowerError`."""
        partition = f"{self.card}@@{BOOT_AT_MIB}M"
        line = ["mtype", "-i", partition, "::/cmdline.txt"]
        read = subprocess.run(line, check=False, capture_output=True, text=True)
        if read.returncode != 0 or not read.stdout.strip():
            raise PowerError(f"no cmdline.txt can be read from the card: {read.stderr.strip()}")
        return read.stdout.strip()

    def cut(self) -> None:
        """Take the power away: the card's electronics first, so that nothing more reaches it."""
        for name in ("nbd.pid", "qemu.pid"):
            if (number := self._process(name)) is not None:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
                while self._process(name) is not None:
                    time.sleep(0.01)
            (self.folder / name).unlink(missing_ok=True)
        for stale in self.folder.glob("*.sock"):
            stale.unlink()

    def wait_until_off(self, timeout_s: float) -> None:
        """Wait until it has shut itself down, and let the card finish; raises `TimeoutError`."""
        wait_until(lambda: not self.is_on, timeout_s, "it did not shut itself down")
        if (number := self._process("nbd.pid")) is not None:
            os.kill(number, signal.SIGTERM)
            wait_until(
                lambda: self._process("nbd.pid") is None, timeout_s, "the card did not finish"
            )
        self.cut()

    def qmp(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 # as JSON has it
        """Return QEMU's answer to a command of its machine protocol; raises `RuntimeError`."""
        with unix.connect(self.folder / "qmp.sock") as connection:
            return _command(connection, command, **arguments)

    def heed_watchdog(self) -> None:
        """Have the watchdog reset the board from now on.

        It is not heeded by itself: without KVM a reload of systemd's units, in which it feeds
        no watchdog, takes some 8 s and more if the machine has other work; a Pi needs one.
        """
        self.qmp("set-action", watchdog="reset")

    def set_internet(self, *, there: bool) -> None:
        """Have the line to the internet, and with it to the time, be there or not."""
        self.qmp("set_link", name="internet", up=there)

    def counters(self) -> dict[str, int]:
        """Return what the card was asked for since the power came: bytes and requests."""
        stats = self.qmp("query-blockstats")[0]["stats"]
        names = ("rd_bytes", "wr_bytes", "wr_operations", "flush_operations")
        return {name: stats[name] for name in names}

    def _start(self, line: list[str]) -> None:
        done = subprocess.run(
            line,
            check=False,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise PowerError(f"{line[0]}: {done.stderr.strip()}")

    def _process(self, pid_file: str) -> int | None:
        """Return the number in the file if that process is alive and ours; they are used again."""
        try:
            number = int((self.folder / pid_file).read_text(encoding="ascii"))
            state = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2]
            command = Path(f"/proc/{number}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return number if state.split()[0] != "Z" and b"card.sock" in command else None


class Events:
    """What QEMU tells of the board while this is entered; nobody else may ask it meanwhile."""

    def __init__(self, machine: VirtualPi) -> None:
        self._socket = machine.folder / "qmp.sock"
        self._seen: list[tuple[float, str]] = []

    def __enter__(self) -> Self:
        self._connection = unix.connect(self._socket)
        _command(self._connection, "query-status")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()

    def wait_for(self, name: str, timeout_s: float) -> float:
        """Return when there was an event of this name, in s since 1970; raises `TimeoutError`."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for moment_s, seen in list(self._seen):
                if seen == name:
                    return moment_s
            time.sleep(0.1)
        names = ", ".join(seen for _, seen in self._seen) or "nothing"
        raise TimeoutError(f"no {name} within {timeout_s:.0f} s, but {names}")

    def _listen(self) -> None:
        with suppress(OSError), self._connection.makefile(encoding="utf-8") as lines:
            for line in lines:
                if event := json.loads(line).get("event"):
                    self._seen.append((time.time(), event))


def _command(connection: socket.socket, command: str, **arguments: object) -> Any:  # noqa: ANN401
    """Return the answer to the first command on a connection; raises `RuntimeError`."""
    with connection.makefile("rw", encoding="utf-8") as lines:
        lines.readline()  # the greeting
        for request in (
            {"execute": "qmp_capabilities"},
            {"execute": command, "arguments": arguments},
        ):
            lines.write(json.dumps(request) + "\n")
            lines.flush()
            answer = {"event": ""}
            while "event" in answer:
                answer = json.loads(lines.readline())
    if "error" in answer:
        raise RuntimeError(f"{command}: {answer['error']}")
    return answer["return"]


if __name__ == "__main__":  # for whoever finds a machine that was left running
    for name in sys.argv[1:]:
        VirtualPi(Path(name), 0, 0).cut()
