"""Finds a way to the Pi and to root on it, asking only what has to be asked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final, Protocol

from controller import terminal
from controller.house import Host
from controller.messages import ProblemError, tell
from controller.place import HouseFolder
from controller.ssh import (
    DEFAULT_KEYS,
    Done,
    PasswordNeededError,
    Ssh,
    WrongPasswordError,
    last_line,
    make_key,
    usable_key,
)

PYTHON: Final = "/usr/bin/python3"
_NO_SUDO: Final = 3
_NO_PYTHON: Final = 4
_LOOK: Final = (
    f"[ -x {PYTHON} ] || exit {_NO_PYTHON}; "
    '[ "$(id -u)" != 0 ] || exit 0; '
    f"command -v sudo >/dev/null || exit {_NO_SUDO}; "
    # What sudo remembers of this terminal is of no use to Ansible.
    "sudo -n -k true"
)
_TRY: Final = "sudo -S -k -p '' true"
_NOT_ALLOWED: Final = re.compile(r"not in the sudoers|may not run|not allowed to")


class Runs(Protocol):
    """Runs shell scripts on the machine that becomes the appliance."""

    @property
    def target(self) -> str:
        """Return how a person names the machine."""

    def run(self, script: str, *, text: str = "") -> Done:
        """Run a script with `text` as its input."""


class Here:
    """The very machine that this runs on."""

    target = "this computer"

    def run(self, script: str, *, text: str = "") -> Done:
        """Run a script with `text` as its input."""
        line = ["/bin/sh", "-c", script]
        done = subprocess.run(
            line,
            check=False,
            input=text,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        return Done(done.returncode, done.stdout, done.stderr)


def over_ssh(
    host: Host,
    folder: HouseFolder,
    scratch: Path,
    *,
    keep: bool,
    new_card: bool,
    password: str | None = None,
) -> Ssh:
    """Reach the Pi by ssh; with `keep`, its host key is remembered and a key installed.

    `password` is the user's password on the Pi, if it is known already.
    """
    if shutil.which("ssh") is None:
        raise ProblemError("ssh is missing; install openssh-client")
    if keep:
        folder.make()
    known_hosts = folder.ssh / "known_hosts"
    if not keep:
        known_hosts, kept = scratch / "known_hosts", known_hosts
        if kept.exists():
            shutil.copy(kept, known_hosts)
    own_key = folder.ssh / "id_ed25519"
    named_key = host.settings.get("ansible_ssh_private_key_file")
    keys = [Path(str(named_key)).expanduser()] if named_key else []
    pi = Ssh(
        host.address,
        str(host.settings["ansible_user"]) if "ansible_user" in host.settings else None,
        port=int(host.settings["ansible_port"]) if "ansible_port" in host.settings else None,
        known_hosts=known_hosts,
        keys=[*keys, *([own_key] if own_key.exists() else [])],
    )
    if new_card and pi.forget():
        tell(f"Forgot the old host key of {pi.address}.")
    known = pi.fingerprint()
    try:
        pi.run("true")
    except PasswordNeededError:
        _tell_first_contact(pi, known)
        _log_in_with_password(pi, password, keep=keep)
        pi.typed = pi.password
        if keep:
            _install_key(pi, own_key)
    else:
        _tell_first_contact(pi, known)
    return pi


def _tell_first_contact(pi: Ssh, known: str | None) -> None:
    if known is None and (fingerprint := pi.fingerprint()):
        tell(f"First contact with {pi.address}; from now on it has to show this key: {fingerprint}")


def _log_in_with_password(pi: Ssh, password: str | None, *, keep: bool) -> None:
    def works(candidate: str) -> bool:
        pi.password = candidate
        try:
            pi.run("true")
        except WrongPasswordError:
            return False
        return True

    wrong = (
        f"{pi.target}: the password does not fit; is that the right user? "
        "(the one chosen in Raspberry Pi Imager, written USER@HOST)"
    )
    if password is not None:
        if not works(password):
            raise ProblemError(wrong)
        return
    terminal.ask_password(
        f"Password of {pi.target}{' (only this once: then a key is used)' if keep else ''}: ",
        works,
        wrong,
        f"{pi.target} asks for a password and there is no terminal to ask at; "
        "install a key: ssh-copy-id, or write the password in a file that only you can read "
        "and add: --password-file FILE",
    )


def _install_key(pi: Ssh, own_key: Path) -> None:
    usual = [Path.home() / ".ssh" / name for name in DEFAULT_KEYS]
    key = usable_key([*pi.keys, *usual])
    if key is None:
        key = own_key
        if not key.exists():
            make_key(key, "house-power-monitor")
    pi.install_key(key.with_name(f"{key.name}.pub").read_text(encoding="utf-8").strip())
    if key not in pi.keys and key not in usual:
        pi.keys.append(key)
    password, pi.password = pi.password, None
    try:
        pi.run("true")
    except PasswordNeededError:  # it does not take keys; so be it
        pi.password = password
    else:
        tell(f"Installed the ssh key {key}.pub on {pi.address}; no password is needed from now on.")


def root_password(machine: Runs, given: str | None = None, likely: str | None = None) -> str | None:
    """Return the password that sudo wants, None if it wants none.

    `given` is what the owner has said that it is; `likely` is worth a try before asking.
    """
    looked = machine.run(_LOOK)
    if looked.code == 0:
        return None
    if looked.code == _NO_PYTHON:
        raise ProblemError(
            f"{machine.target} has no {PYTHON}; is it Raspberry Pi OS? "
            "Mend it there: sudo apt install python3"
        )
    if looked.code == _NO_SUDO:
        raise ProblemError(
            f"{machine.target} has no sudo; install it there as root: apt install sudo, "
            "and let the user in: adduser USER sudo"
        )

    def works(candidate: str) -> bool:
        tried = machine.run(_TRY, text=f"{candidate}\n")
        if _NOT_ALLOWED.search(tried.errors):
            raise ProblemError(
                f"{machine.target} may not use sudo ({last_line(tried.errors)}); "
                "use the user chosen in Raspberry Pi Imager, or as root there: adduser USER sudo"
            )
        return tried.code == 0

    wrong = f"{machine.target}: sudo does not take the password; it is the user's own one there"
    if given is not None:
        if works(given):
            return given
        raise ProblemError(wrong)
    if likely is not None and works(likely):
        return likely
    return terminal.ask_password(
        f"Password for sudo, {machine.target}: ",
        works,
        wrong,
        f"{machine.target}: sudo wants a password and there is no terminal to ask at; write it in "
        "a file that only you can read and add: --password-file FILE",
    )


def for_ansible(pi: Ssh) -> dict[str, str | int]:
    """Return the variables with which Ansible goes the same way."""
    variables: dict[str, str | int] = {
        "ansible_connection": "ssh",
        "ansible_host": pi.address,
        "ansible_ssh_common_args": shlex.join(pi.options()),
    }
    if pi.user:
        variables["ansible_user"] = pi.user
    if pi.port:
        variables["ansible_port"] = pi.port
    return variables
