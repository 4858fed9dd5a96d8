"""What this computer keeps of a house, and what a run leaves nowhere."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.messages import ProblemError


class HouseFolder:
    """The folder of a house: its secrets, its way by ssh, the log of the last run.

    The secrets in it are the role house_secrets' business.
    """

    def __init__(self, name: str) -> None:
        self.path = Path.home() / ".config/house-power-monitor" / name
        self.ssh = self.path / "ssh"
        self.log = self.path / "provision.log"
        self.screens = self.path / "screens.txt"

    def __str__(self) -> str:
        if self.path.is_relative_to(Path.home()):
            return f"~/{self.path.relative_to(Path.home())}"
        return str(self.path)

    def make(self) -> None:
        """Make it, for its owner's eyes only."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.path.stat().st_uid != os.geteuid():
                owner = pwd.getpwuid(self.path.stat().st_uid).pw_name
                raise ProblemError(
                    f"{self.path} belongs to {owner}; run this as {owner} (with or without sudo, "
                    "but always the same)"
                )
            self.path.chmod(0o700)
            self.ssh.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ProblemError(
                f"{self.path}: {error.strerror}; mend it and run this again"
            ) from error

    def new_log(self) -> Path:
        """Return an empty log; that of the run before stays beside it."""
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.before"))
        self.log.touch(mode=0o600)
        return self.log

    def secret(self, name: str) -> str | None:
        """Return one of the house's secrets, None if it is not there."""
        try:
            return (self.path / name).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ProblemError(f"{self.path / name} cannot be read: {error}") from error

    def where_screens_are(self) -> list[str]:
        """Return the addresses of the screens, as the last run has found them."""
        try:
            return self.screens.read_text(encoding="utf-8").split()
        except OSError:
            return []

    def others(self) -> list[str]:
        """Return the names of all houses that this computer knows."""
        try:
            return sorted(path.name for path in self.path.parent.iterdir() if path.is_dir())
        except OSError:
            return []


@contextmanager
def passing_folder() -> Iterator[Path]:
    """Give a private folder, in memory where there is one, that is gone afterwards."""
    places = (os.environ.get("XDG_RUNTIME_DIR"), Path("/dev", "shm"))
    memory = next((place for place in places if place and os.access(place, os.W_OK)), None)
    with tempfile.TemporaryDirectory(prefix="appliance-", dir=memory) as path:
        yield Path(path)
