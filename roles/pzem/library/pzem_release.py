#!/usr/bin/python
"""Ansible module: one release of the collector, in a virtual environment of its own."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: pzem_release
short_description: One release of the collector, in a virtual environment of its own
description:
  - Makes a virtual environment and installs the collector with its pinned requirements in it,
    from binary wheels alone, so that nothing is ever compiled on a Pi.
  - A release counts as installed when it was finished and its C(pzem) still starts; anything else
    is made anew, whatever an interruption has left of it.
  - Waits while another run installs, such as one whose connection broke and that is still at work.
options:
  path:
    description: The folder of the release; others lie beside it.
    type: path
    required: true
  version:
    description: What C(pzem --version) must answer.
    type: str
    required: true
  wheel:
    description: The collector's wheel.
    type: path
    required: true
  requirements:
    description: What the collector needs, pinned, as pip reads it.
    type: path
    required: true
  wheels_dir:
    description: A folder of wheels to install from, instead of PyPI.
    type: path
  python:
    description: The interpreter.
    type: path
    default: /usr/bin/python3
author: House power monitor
"""

EXAMPLES = r"""
- name: Install the collector
  pzem_release:
    path: /opt/pzem/0.1.0+src3f9c0a1b2d4e-1a2b3c4d
    version: 0.1.0+src3f9c0a1b2d4e
    wheel: /opt/pzem/.incoming/pzem-0.1.0+src3f9c0a1b2d4e-py3-none-any.whl
    requirements: /opt/pzem/.incoming/requirements.txt
"""

RETURN = r"""
was_there:
  description: Whether it was there already, whole and able to start.
  type: bool
  returned: success
"""

FINISHED = "installed.json"
"""Written last: a folder without it is an unfinished one."""
EVERYTHING = "pzem.cli.collecting, pzem.cli.commissioning"
LOCK = ".lock"
PATIENCE_S = 900
"""A first installation on the slowest Pi over a slow line ends within this time."""

NO_NETWORK = re.compile(
    r"name resolution|Name or service not known|Network is unreachable|No route to host"
    r"|NewConnectionError|ConnectTimeoutError|Read timed out|Connection refused|ProxyError"
)
NO_TRUST = re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLError|certificate verify failed")
NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")
NO_SPACE = re.compile(r"No space left on device")


class InstallError(Exception):
    """The release could not be made; the message is one line that tells what mends it."""


@dataclass(frozen=True)
class Release:
    """What is to be installed, and where."""

    path: Path
    version: str
    wheel: Path
    requirements: Path
    wheels_dir: Path | None
    python: Path

    @property
    def installed(self) -> bool:
        """Whether it was finished and still starts."""
        if not (self.path / FINISHED).is_file():
            return False
        try:
            self._try_out()
        except (InstallError, OSError):
            return False
        return True

    def install(self) -> None:
        """Make the release anew; raises `InstallError`."""
        (self.path / FINISHED).unlink(missing_ok=True)
        if self.path.exists():
            shutil.rmtree(self.path)
        _run([self.python, "-m", "venv", self.path], "the virtual environment could not be made")
        self._pip("--requirement", self.requirements)
        self._pip("--no-deps", "--no-index", self.wheel)
        _run([self.path / "bin/python", "-m", "pip", "check"], "the requirements do not fit")
        self._try_out()
        os.sync()  # a power cut must not leave a finished mark on files that are still empty
        about = {"version": self.version, "python": _run([self.python, "-V"], "no Python").strip()}
        with (self.path / FINISHED).open("w", encoding="utf-8") as mark:
            json.dump(about, mark)
            mark.write("\n")
            mark.flush()
            os.fsync(mark.fileno())

    def _try_out(self) -> None:
        """Load all of the collector and ask it for its version; raises `InstallError`."""
        _run([self.path / "bin/python", "-c", f"import {EVERYTHING}"], "the collector is not whole")
        answer = _run([self.path / "bin/pzem", "--version"], "pzem does not start").strip()
        if answer != f"pzem {self.version}":
            raise InstallError(f"the wheel of {self.version} says {answer!r}: build it again")

    def _pip(self, *what: str | Path) -> None:
        source: list[str | Path] = (
            ["--no-index", "--find-links", self.wheels_dir] if self.wheels_dir else []
        )
        command: list[str | Path] = [
            *(self.path / "bin/python", "-m", "pip", "install", "--quiet", "--no-input"),
            *("--no-cache-dir", "--disable-pip-version-check", "--only-binary", ":all:"),
            *source,
            *what,
        ]
        done = _execute(command)
        if done.returncode != 0:
            raise InstallError(explain(done.stderr, self.wheels_dir))


def explain(stderr: str, wheels_dir: Path | None = None) -> str:
    """Return in one line why pip failed, and what mends it."""
    if NO_SPACE.search(stderr):
        return "the disk is full: make room (df -h shows what is taken) and run it again"
    if missing := NO_WHEEL.search(stderr):
        if wheels_dir is not None:
            return (
                f"the given folder of wheels has none of {missing[1]} for this Python and this "
                "machine: put it there, with: pip download --only-binary :all: "
                "-r requirements/collector.txt, on such a machine"
            )
        if not NO_NETWORK.search(stderr) and not NO_TRUST.search(stderr):
            return (
                f"PyPI has no wheel of {missing[1]} for this Python and this machine, and nothing "
                "is compiled here: pin another version of it in requirements/collector.txt"
            )
    if NO_TRUST.search(stderr):
        return (
            "PyPI's certificate is not trusted: set the clock right, or have pip trust "
            "your proxy (cert in /etc/pip.conf)"
        )
    if NO_NETWORK.search(stderr):
        return (
            "PyPI cannot be reached: mend the network (curl https://pypi.org/simple/ tries it), "
            "or name a folder of wheels in pzem_wheels_dir"
        )
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    return "pip failed: " + (" ".join(errors) or "it does not say why")


def _execute(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run `command`; it inherits the lock, and holds it even if this process is killed."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=mine, close_fds=False
    )


def _run(command: Sequence[str | Path], otherwise: str) -> str:
    done = _execute(command)
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise InstallError(f"{otherwise}: {said[-1].strip() if said else command[0]}")
    return done.stdout


@contextmanager
def alone(folder: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Keep every other run out of `folder`; raises `InstallError` if one does not end."""
    with (folder / LOCK).open("a", encoding="utf-8") as lock:
        give_up = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise InstallError(
                        f"another run has been installing for {patience_s / 60:g} minutes: "
                        f"find it with fuser -v {folder / LOCK}, end it, and run this again"
                    ) from None
                time.sleep(1)
        os.set_inheritable(lock.fileno(), True)
        yield


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "version": {"type": "str", "required": True},
            "wheel": {"type": "path", "required": True},
            "requirements": {"type": "path", "required": True},
            "wheels_dir": {"type": "path"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
        },
        supports_check_mode=True,
    )
    params = module.params
    release = Release(
        path=Path(params["path"]),
        version=params["version"],
        wheel=Path(params["wheel"]),
        requirements=Path(params["requirements"]),
        wheels_dir=Path(params["wheels_dir"]) if params["wheels_dir"] else None,
        python=Path(params["python"]),
    )
    os.umask(0o022)  # the collector's user has to read it, whatever root's umask is
    try:
        if module.check_mode:
            was_there = release.installed
        else:
            with alone(release.path.parent):
                was_there = release.installed
                if not was_there:
                    release.install()
    except (InstallError, OSError) as error:
        module.fail_json(msg=f"The collector could not be installed: {error}.")
    module.exit_json(changed=not was_there, was_there=was_there)


if __name__ == "__main__":
    main()
