"""Cards that have been provisioned, kept for as long as the project would make the same of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from appliance import ROOT, STATE
from computer import Computer
from virtual_pi.bench import Bench

HOUSE: Final = "virtual"
IMAGE: Final = STATE / "image"
"""The bare card and its kernel."""
CARDS: Final = ROOT / ".cache" / "cards"
PART_2_OVER: Final = STATE / "2_provision.over"
"""Is there once part 2 will do no more to the provisioned card: it is kept, or there is none."""
KEPT: Final = 2
"""So many provisioned cards, of about 2 GB each."""
_DECIDE: Final = (
    "ansible.cfg",
    "collector/pyproject.toml",
    "collector/src",
    "controller",
    "files",
    "playbooks",
    "requirements",
    "roles",
)
"""What decides what is on a provisioned card, beside the house."""


@dataclass(frozen=True)
class Provisioned:
    """A card that was provisioned, and the computer that has done it."""

    folder: Path

    @classmethod
    def of(cls, house: Mapping[str, str]) -> Provisioned:
        """Return the card that this state of the project makes of the image for this house.

        It need not be there.
        """
        digest = hashlib.sha256(json.dumps([IMAGE.resolve().name, house]).encode())
        for name in _DECIDE:
            top = ROOT / name
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if path.is_file() and not _is_made_in_passing(path):
                    digest.update(f"{path.relative_to(ROOT)}\0".encode())
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
        return cls(CARDS / f"provisioned-{digest.hexdigest()[:12]}")

    @property
    def card(self) -> Path:
        """Return the image of the card; that it is there says that it is good."""
        return self.folder / "card.raw"

    @property
    def kept(self) -> Path:
        """Return what the computer keeps of the house."""
        return self.folder / "computer/home/.config/house-power-monitor" / HOUSE

    @staticmethod
    def lock() -> FileLock:
        """Return what only one worker holds at a time: who makes a card, or looks for one."""
        CARDS.mkdir(parents=True, exist_ok=True)
        return FileLock(CARDS / ".lock")

    @property
    def key(self) -> Path:
        """Return the key that opens ssh."""
        return self.kept / "ssh" / "id_ed25519"

    def new_computer(self, house: Mapping[str, str], password: str) -> Computer:
        """Forget what was there, and return a computer that has never seen the machine."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return Computer.new(self.folder / "computer", house, password)

    def keep_card_of(self, bench: Bench) -> None:
        """Keep the card of the machine, which has been shut down, and make room for it."""
        bench.copy_card_to(self.card)
        cards = sorted(CARDS.glob("provisioned-*"), key=lambda path: path.stat().st_mtime)
        for old in [path for path in cards if path != self.folder][: 1 - KEPT]:
            shutil.rmtree(old)


@contextmanager
def bare_machine(part: str, key: Path = STATE / "no_key") -> Iterator[Bench]:
    """Give a machine with a bare card, switched on for the first time; `key` will open its ssh."""
    with Bench(STATE / part, IMAGE, key) as bench:
        bench.insert(IMAGE / "card.raw")
        bench.start()
        yield bench
    bench.machine.card.unlink()


def go_by_ssh(bench: Bench, computer: Computer) -> str:
    """Tell the computer by which port it gets to the machine; return what its owner types."""
    hosts = {"ansible_host": "127.0.0.1", "ansible_port": bench.machine.ssh_port}
    inventory = {"house": {"hosts": {"virtual": hosts}}}
    (computer.clone / "inventory/hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
    return "pi@127.0.0.1"


def _is_made_in_passing(path: Path) -> bool:
    return any(part == "__pycache__" or part.endswith(".egg-info") for part in path.parts)
