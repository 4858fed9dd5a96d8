"""The command `password`."""

from __future__ import annotations

from pathlib import Path

import pytest
from controller import login
from controller.messages import ProblemError
from controller.place import HouseFolder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def keep(house: str, **secrets: str) -> None:
    folder = HouseFolder(house)
    folder.make()
    for name, value in secrets.items():
        (folder.path / name).write_text(value)


def test_it_says_how_to_log_in(capsys: pytest.CaptureFixture[str]) -> None:
    keep("cabin", grafana_viewer_password="x7k3", grafana_admin_password="q9")
    assert login.main(["cabin"]) == 0
    printed = capsys.readouterr().out
    assert "house    x7k3" in printed
    assert "admin    q9" in printed


def test_it_names_the_houses_whose_passwords_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    keep("cabin", grafana_viewer_password="x7k3")
    keep("barn")  # as a Pi that could not be reached leaves it
    with pytest.raises(ProblemError) as refused:
        login.main(["barn"])
    assert str(refused.value) == (
        "this computer keeps no passwords of the house barn, but of cabin: "
        "./appliance password cabin; ./appliance provision makes them, or fetches them"
    )
