"""Commands of somebody who may not read what they need: one line each, and what helps."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pzem.cli import main
from pzem.testing.influxd import free_port

for module in ("checking", "importing", "meters", "outages", "status"):
    importlib.import_module(f"pzem.cli.{module}")  # whoever has no rights may not load them
codecs.lookup("utf-8-sig")
NOBODY = 65534
SUDO = "Permission denied; try it with sudo"


class House:
    """A configuration that all may read; what it names belongs to another user."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.config = folder / "pzem.toml"
        self.password = folder / "password"
        self.password.write_text("secret")
        self.state = folder / "state"
        self.state.mkdir(mode=0o755)
        self.config.write_text(
            f'state_dir = "{self.state}"\nruntime_dir = "{folder}"\n'
            f'[influxdb]\nurl = "http://127.0.0.1:{free_port()}"\n'
            f'password_file = "{self.password}"\n'
            '[[meters]]\nname = "mainA"\naddress = 4\nsupply = "utility"\n'
        )
        self.config.chmod(0o644)

    def run(self, command: str) -> int:
        with _unprivileged():
            return main([*command.split(), "--config", str(self.config)])


@contextlib.contextmanager
def _unprivileged() -> Iterator[None]:
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory() as folder:  # in pytest's own, nobody may look at all
        yield House(Path(folder))


@pytest.mark.parametrize(
    "command", ["check-config", "status", "outages", "meter-replaced mainA", "import-original"]
)
def test_the_configuration(house: House, capsys: pytest.CaptureFixture[str], command: str) -> None:
    house.config.chmod(0)
    assert house.run(command) == 2
    assert capsys.readouterr().err == f"pzem: {house.config}: cannot be read: {SUDO}\n"


@pytest.mark.parametrize("command", ["outages", "import-original"])
def test_the_password(house: House, capsys: pytest.CaptureFixture[str], command: str) -> None:
    house.password.chmod(0)
    assert house.run(command) == 2
    said = f"pzem: influxdb.password_file: cannot read {house.password}: {SUDO}\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("outages", "{}/outages.json: "),
        ("import-original", "{}/import-original.lock: "),
        ("meter-replaced mainA", "cannot write in {}/requests: "),
    ],
)
def test_the_state(
    house: House, capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    house.state.chmod(0)
    assert house.run(command) == 1
    assert capsys.readouterr().err == f"pzem: {said.format(house.state)}{SUDO}\n"


def test_the_status(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    file = house.config.parent / "status.json"
    file.touch(mode=0)
    assert house.run("status") == 1
    assert capsys.readouterr().err == f"pzem: {file} cannot be read: {SUDO}\n"


def test_the_backup(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.state.chmod(0o777)
    house.password.chmod(0o644)
    backup = house.config.parent / "backup"
    backup.mkdir(mode=0)
    assert house.run(f"import-original --backup {backup}") == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"pzem: {backup}: {SUDO}"
