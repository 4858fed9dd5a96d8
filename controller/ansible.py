"""Runs a playbook on one machine, with its own small inventory and no password in sight."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from controller.house import HOUSE_FILE, ROOT
from controller.messages import ProblemError
from controller.reach import PYTHON

INTERRUPTED = 130


def inventory(folder: Path, name: str, variables: Mapping[str, str | int]) -> Path:
    """Write an inventory that knows this machine alone, as the only member of the house.

    Whatever else is in the owner's hosts.yml, it cannot be touched.
    """
    hosts = {"house": {"hosts": {name: {"ansible_python_interpreter": PYTHON, **variables}}}}
    path = folder / "hosts.json"
    path.write_text(json.dumps(hosts), encoding="utf-8")
    if (ROOT / HOUSE_FILE).exists():
        (folder / "group_vars").mkdir()
        (folder / "group_vars/house.yml").symlink_to(ROOT / HOUSE_FILE)
    return path


def play(
    playbook: str,
    hosts: Path,
    words: Sequence[str],
    *,
    log: Path | None,
    verbose: int,
    become_password: str | None,
    connection_password: str | None,
) -> int:
    """Run `playbook`; return its exit code, 130 after Ctrl-C.

    `verbose` shows all that Ansible says, up to 4, and then nothing is logged: it may say
    passwords.
    """
    program = Path(sys.executable).with_name("ansible-playbook")
    if not program.exists():
        raise ProblemError(f"{program} is missing; start this as ./appliance")
    line = [str(program), "--inventory", str(hosts), str(ROOT / "playbooks" / playbook), *words]
    passwords = {"become": become_password, "connection": connection_password}
    stopped = threading.Event()
    for kind, password in passwords.items():
        if password is not None:
            pipe = hosts.with_name(kind)
            os.mkfifo(pipe, 0o600)
            threading.Thread(target=_pour, args=(pipe, password, stopped), daemon=True).start()
            line += [f"--{kind}-password-file", str(pipe)]
    # Settings of Ansible that the owner has for other work could break this or log passwords.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(hosts.with_name("ansible")),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(hosts.with_name("cp")),
    }
    if verbose:
        line.append(f"-{'v' * verbose}")
        environment["ANSIBLE_STDOUT_CALLBACK"] = "default"
    elif log:
        environment["ANSIBLE_LOG_PATH"] = str(log)
    running = subprocess.Popen(line, env=environment)
    while True:
        try:
            code = running.wait()
            break
        except KeyboardInterrupt:  # Ansible got it too, and has to clear up
            continue
        except SystemExit:
            running.terminate()
            running.wait()
            raise
    stopped.set()
    return INTERRUPTED if code in (99, -2, INTERRUPTED) else code


def _pour(pipe: Path, password: str, stopped: threading.Event) -> None:
    """Write the password into a pipe for whoever opens it, so that it lies in no file."""
    while not stopped.is_set():
        try:
            handle = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet
                return
            time.sleep(0.05)
            continue
        with open(handle, "w", encoding="utf-8") as file:
            file.write(f"{password}\n")
        return
