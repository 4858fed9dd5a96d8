"""The module package_system, with a stand-in for apt and dpkg that plays what they say."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import pytest

from project_files import load

LOCKED = (
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 99 (unattended-upgr)"
)


@pytest.fixture(scope="module")
def package_system() -> ModuleType:
    return load("roles/os_base/library/package_system.py")


class Packages:
    """Plays a system; the commands that change something are kept."""

    def __init__(
        self,
        interrupted: str = "",
        *,
        locked: bool = False,
        broken: str = "",
        mendable: bool = True,
    ) -> None:
        self.interrupted = interrupted
        self.locked = locked
        self.broken = broken
        self.mendable = mendable
        self.changes: list[str] = []

    def __call__(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Return what the command answers: code, output, errors."""
        if command[:2] == ["dpkg", "--audit"]:
            return bool(self.interrupted), self.interrupted, ""
        if command[-1] == "check":
            if self.locked:
                return 100, "", LOCKED
            return (100 if self.broken else 0), "", self.broken
        self.changes.append(f"{command[0]} {command[-1]}")
        if not self.mendable:
            return 100, "", "Reading\nE: Unmet dependencies."
        self.interrupted = self.broken = ""
        return 0, "", ""


@pytest.mark.parametrize(
    ("packages", "changed"),
    [
        pytest.param(Packages(), False, id="nothing-to-do"),
        pytest.param(Packages("not yet configured: tzdata"), True, id="not-configured"),
        pytest.param(
            Packages(broken="E: dpkg was interrupted, you must manually run"), True, id="journal"
        ),
    ],
)
def test_what_is_incomplete_is_completed(
    package_system: ModuleType, packages: Packages, *, changed: bool
) -> None:
    assert package_system.complete(packages, 1, check_mode=False)[0] is changed
    assert bool(packages.changes) is changed
    assert package_system.complete(packages, 1, check_mode=False) == (False, "")


def test_check_mode_tells_and_does_nothing(package_system: ModuleType) -> None:
    packages = Packages("not yet configured: tzdata", locked=True)
    assert package_system.complete(packages, 1, check_mode=True) == (True, packages.interrupted)
    assert packages.changes == []


def test_who_holds_the_lock_for_too_long_is_named(package_system: ModuleType) -> None:
    packages = Packages("half", locked=True)
    with pytest.raises(package_system.PackageError, match=r"process 99 .*for 7 s"):
        package_system.complete(packages, 7, check_mode=False)
    assert packages.changes == []


def test_what_cannot_be_completed_is_said_with_the_way_out(package_system: ModuleType) -> None:
    packages = Packages("half", mendable=False)
    with pytest.raises(package_system.PackageError, match=r"dpkg --configure -a.*Unmet depend"):
        package_system.complete(packages, 1, check_mode=False)
