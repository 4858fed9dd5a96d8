"""A computer that provisions the appliance, as its owner would: a clone of the project, a home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aloud import run_aloud
from appliance import ROOT


def _unheard(line: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Computer:
    """It has a clone of the project, and has never seen the appliance."""

    clone: Path
    home: Path

    @classmethod
    def new(cls, folder: Path, house: Mapping[str, Any], password: str) -> Computer:
        """Return one in `folder` with this description of the house and the Pi's password."""
        computer = cls(folder / "clone", folder / "home")
        computer.home.mkdir(parents=True)
        left = shutil.ignore_patterns(".*", "__pycache__", "hosts.yml", "house.yml")
        shutil.copytree(ROOT, computer.clone, ignore=left)
        description = computer.clone / "inventory/group_vars/house.yml"
        description.write_text(yaml.safe_dump(dict(house)), encoding="utf-8")
        computer.password_file.write_text(f"{password}\n", encoding="utf-8")
        return computer

    @property
    def password_file(self) -> Path:
        """Return the file that holds the password of the Pi's user."""
        return self.home / "password"

    def kept(self, house_name: str) -> Path:
        """Return the folder of what the computer keeps of a house."""
        return self.home / ".config/house-power-monitor" / house_name

    def provision(
        self, *words: str, seen: Callable[[str], None] = _unheard
    ) -> subprocess.CompletedProcess[str]:
        """Run the command without a terminal; `seen` is told each line that it prints."""
        line = [sys.executable, "-m", "controller", "provision", *words]
        line += ["--password-file", str(self.password_file)]
        environment = {**os.environ, "HOME": str(self.home), "PYTHONPATH": str(self.clone)}
        return run_aloud(line, cwd=self.clone, env=environment, seen=seen)
