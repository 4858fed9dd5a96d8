"""The way to the Pi by ssh, with what OpenSSH says turned into one line that helps.

A new SD card means a new host key. So each house has its own known_hosts, in which the
first key is trusted and told, and a changed one is refused until the owner says that it
is a new card.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.messages import ProblemError

CONNECT_TIMEOUT_S: Final = 15
ASKPASS: Final = Path(__file__).parent / "askpass"
ASKPASS_VARIABLE: Final = "APPLIANCE_SSH_PASSWORD"
SSH_FAILED: Final = 255
"""Exit code of ssh when it, and not the command on the other side, has failed."""
DEFAULT_KEYS: Final = ("id_ed25519", "id_ecdsa", "id_rsa")


class PasswordNeededError(Exception):
    """None of the keys opens the door, but the Pi would take a password."""


class WrongPasswordError(Exception):
    """The Pi does not take this password."""


class ChangedKeyError(ProblemError):
    """The host key is not the one that is known."""


@dataclass(frozen=True)
class Done:
    """What a command on the Pi has left."""

    code: int
    output: str
    errors: str


class Ssh:
    """One Pi, reached by ssh."""

    def __init__(
        self,
        address: str,
        user: str | None,
        *,
        known_hosts: Path,
        port: int | None = None,
        keys: Sequence[Path] = (),
    ) -> None:
        self.address = address
        self.user = user
        self.port = port
        self.known_hosts = known_hosts
        self.keys = list(keys)
        self.password: str | None = None
        """What to log in with; None where a key does it."""
        self.typed: str | None = None
        """The user's password, if it was asked for; sudo may want the same."""

    @property
    def target(self) -> str:
        """Return how a person writes where this leads."""
        return f"{self.user}@{self.address}" if self.user else self.address

    def options(self) -> list[str]:
        """Return ssh's options, for Ansible's calls of it as well."""
        pairs = {
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "accept-new",
            "HashKnownHosts": "no",
            "UpdateHostKeys": "no",
            "CheckHostIP": "no",
            "ConnectTimeout": str(CONNECT_TIMEOUT_S),
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "8",
        }
        options = [word for pair in pairs.items() for word in ("-o", "=".join(pair))]
        return options + [
            word for key in self._identities() for word in ("-o", f'IdentityFile="{key}"')
        ]

    def _identities(self) -> list[Path]:
        # Naming one key takes the default ones out of the game.
        usual = [Path.home() / ".ssh" / name for name in DEFAULT_KEYS]
        return [*self.keys, *filter(Path.exists, usual)] if self.keys else []

    def command(self, *words: str, tty: bool = False, quiet: bool = False) -> list[str]:
        """Return the command line that runs `words` on the Pi."""
        line = ["ssh", *self.options()]
        if quiet:
            line += ["-o", "LogLevel=ERROR"]
        if self.port:
            line += ["-p", str(self.port)]
        if self.user:
            line += ["-l", self.user]
        return [*line, "-t" if tty else "-T", "--", self.address, *words]

    def run(self, script: str, *, text: str = "") -> Done:
        """Run a shell script on the Pi with `text` as its input.

        Raises `PasswordNeededError`, `WrongPasswordError`, `ChangedKeyError` or
        `ProblemError` if the Pi is not reached.
        """
        line = self.command(f"LC_ALL=C sh -c {shlex.quote(script)}")
        environment = {**os.environ, "LC_ALL": "C"}
        if self.password is None:
            line[1:1] = ["-o", "BatchMode=yes"]
        else:
            line[1:1] = ["-o", "NumberOfPasswordPrompts=1"]
            environment |= {
                "SSH_ASKPASS": str(ASKPASS),
                "SSH_ASKPASS_REQUIRE": "force",
                ASKPASS_VARIABLE: self.password,
            }
        try:
            finished = subprocess.run(
                line, check=False, input=text, capture_output=True, text=True, env=environment
            )
        except FileNotFoundError as error:
            raise ProblemError("ssh is missing; install openssh-client") from error
        if finished.returncode == SSH_FAILED:
            self._explain(finished.stderr)
        return Done(finished.returncode, finished.stdout, finished.stderr)

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the known host key, None if none is known."""
        listed = _ssh_keygen("-l", "-F", self._host_entry(), "-f", str(self.known_hosts))
        keys = [line for line in listed.stdout.splitlines() if not line.startswith("#")]
        found = re.search(r"(\S+) (SHA256:\S+)", keys[0]) if keys else None
        return f"{found[1]} {found[2]}" if found else None

    def forget(self) -> bool:
        """Forget the known host key; tell whether there was one."""
        if self.fingerprint() is None:
            return False
        _ssh_keygen("-R", self._host_entry(), "-f", str(self.known_hosts))
        self.known_hosts.with_name(f"{self.known_hosts.name}.old").unlink(missing_ok=True)
        return True

    def install_key(self, public_key: str) -> None:
        """Let `public_key` in from now on."""
        script = (
            "umask 077; mkdir -p ~/.ssh && cd ~/.ssh && key=$(cat) && "
            '{ grep -qsxF "$key" authorized_keys || '
            '{ [ -z "$(tail -c 1 authorized_keys 2>/dev/null)" ] || echo >>authorized_keys; '
            "printf '%s\\n' \"$key\" >>authorized_keys; }; }"
        )
        done = self.run(script, text=public_key)
        if done.code != 0:
            raise ProblemError(
                f"{self.target}: no ssh key could be installed: {last_line(done.errors)}; "
                "is the card full? look with: df -h"
            )

    def _host_entry(self) -> str:
        return f"[{self.address}]:{self.port}" if self.port not in (None, 22) else self.address

    def _explain(self, errors: str) -> None:
        """Raise what OpenSSH's words mean."""
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in errors:
            raise ChangedKeyError(
                f"{self.address} shows another host key than the Pi that was there before: if it "
                "has a new SD card or was set up anew, add --new-card; if not, do not go on: "
                "another machine may be posing as it"
            )
        denied = re.search(r"Permission denied \(([^)]*)\)", errors)
        if denied:
            asks = {"password", "keyboard-interactive"} & set(denied[1].split(","))
            if asks and self.password is None:
                raise PasswordNeededError
            if asks:
                raise WrongPasswordError
            raise ProblemError(
                f"{self.target} takes no password and knows none of your ssh keys; "
                "is that the right user? (the one chosen in Raspberry Pi Imager, written "
                "USER@HOST) or else add your key there, to ~/.ssh/authorized_keys"
            )
        for words, meaning in _MEANINGS.items():
            if re.search(words, errors):
                raise ProblemError(f"{self.address}: {meaning}")
        raise ProblemError(f"{self.target} could not be reached: ssh says: {last_line(errors)}")


_MEANINGS: Final[Mapping[str, str]] = {
    r"Could not resolve hostname|Name or service not known": (
        "no machine of this name in your network; check the spelling, or write the address "
        "that your router shows for the Pi, such as 192.168.1.123"
    ),
    r"Connection refused": (
        "it is there, but takes no ssh; switch ssh on, in Raspberry Pi Imager or on the Pi "
        "with: sudo systemctl enable --now ssh (just restarted? then try again in a minute)"
    ),
    r"timed out|No route to host|Network is unreachable|Host is down": (
        "nothing answers there; is the Pi switched on, in the same network, and is this its "
        "address? (just restarted? then try again in a minute)"
    ),
    r"Connection (closed|reset)|kex_exchange_identification|Broken pipe": (
        "the connection was closed at once; the Pi may still be starting: try again in a minute"
    ),
    r"Host key verification failed": (
        "its host key could not be checked; add --new-card if the Pi has a new SD card"
    ),
    r"Too many authentication failures": (
        "it was offered too many ssh keys; name the right one in inventory/hosts.yml: "
        "ansible_ssh_private_key_file"
    ),
}


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"


def usable_key(candidates: Sequence[Path]) -> Path | None:
    """Return the first private key that opens without a passphrase."""
    for key in candidates:
        if not (key.exists() and key.with_name(f"{key.name}.pub").exists()):
            continue
        if _ssh_keygen("-y", "-P", "", "-f", str(key)).returncode == 0:
            return key
    return None


def make_key(path: Path, comment: str) -> None:
    """Make a key pair without a passphrase."""
    made = _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    if made.returncode != 0:
        raise ProblemError(f"{path}: no ssh key could be made: {last_line(made.stderr)}")


def _ssh_keygen(*words: str) -> subprocess.CompletedProcess[str]:
    line = ["ssh-keygen", *words]
    try:
        return subprocess.run(
            line, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise ProblemError("ssh-keygen is missing; install openssh-client") from error
