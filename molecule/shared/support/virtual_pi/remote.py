"""testinfra over ssh as the user of a Pi: with a password for sudo.

testinfra's own ssh knows no such password, and its way through Ansible takes seconds for a
command. `--hosts=sudo-ssh://NAME --ssh-config=FILE --sudo -p virtual_pi.remote` has tests use it.
"""

from __future__ import annotations

import os
import subprocess
from typing import Final, cast

from controller.ssh import ASKPASS, ASKPASS_VARIABLE
from testinfra import backend, get_host
from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

PASSWORD: Final = "raspberry"
"""Of the user pi, as image/bootstrap has it; no secret."""
TIMEOUT_S: Final = 300.0


def ssh_environment() -> dict[str, str]:
    """Return the environment in which ssh finds the password, where it has no key."""
    return {
        **os.environ,
        "SSH_ASKPASS": str(ASKPASS),
        "SSH_ASKPASS_REQUIRE": "force",
        ASKPASS_VARIABLE: PASSWORD,
    }


class SudoSshBackend(SshBackend):  # type: ignore[misc] # testinfra ships no types
    """Runs each command over ssh, through sudo if that is wanted."""

    NAME = "sudo-ssh"

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        """Return the command as sudo runs it: it asks each time, so that it takes its answer."""
        user = ["-u", sudo_user] if sudo_user else []
        words = ["sudo", "-S", "-k", "-p", "", *user, "/bin/sh", "-c", command]
        return cast(str, self.quote(" ".join(["%s"] * len(words)), *words))

    def run_local(self, command: str, *args: str) -> CommandResult:
        """Run ssh; the password is there for whoever asks, ssh or sudo."""
        line = self.quote(command, *args)
        done = subprocess.run(
            line,
            shell=True,
            check=False,
            input=f"{PASSWORD}\n".encode() if self.sudo else b"",
            capture_output=True,
            env=ssh_environment(),
            timeout=TIMEOUT_S,
        )
        return self.result(done.returncode, self.encode(line), done.stdout, done.stderr)


backend.BACKENDS[SudoSshBackend.NAME] = f"{__name__}.{SudoSshBackend.__name__}"


def connect(name: str, ssh_config: str) -> Host:
    """Return the machine that the file calls `name`, as root."""
    return get_host(f"{SudoSshBackend.NAME}://{name}", ssh_config=ssh_config, sudo=True)
