"""Writing to the boot partition: nothing half-written, whatever happens."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import ModuleType

import pytest


def change(boot_file: ModuleType, path: Path, content: bytes = b"new\n") -> None:
    boot_file.BootFile.read(path).replace(content, keep_copy=True)


@pytest.mark.usefixtures("reboot_flag")
def test_the_copy_is_of_the_first_content_for_ever(boot_file: ModuleType, boot: Path) -> None:
    path = boot / "config.txt"
    for content in (b"first\n", b"second\n", b"third\n"):
        if not path.exists():
            path.write_bytes(content)
        else:
            change(boot_file, path, content)
    assert path.read_bytes() == b"third\n"
    assert (boot / "config.txt.before-appliance").read_bytes() == b"first\n"


@pytest.mark.usefixtures("reboot_flag")
@pytest.mark.parametrize(
    "failure",
    [
        ("fsync", errno.ENOSPC, "is full"),
        ("rename", errno.EROFS, "remount,rw"),
        ("rename", errno.EIO, "was not changed"),
    ],
)
def test_a_failing_write_leaves_the_old_file_and_no_other(
    boot_file: ModuleType,
    boot: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: tuple[str, int, str],
) -> None:
    step, code, advice = failure
    path = boot / "config.txt"
    path.write_bytes(b"old\n")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(boot_file.BootFileError, match=advice):
        change(boot_file, path)
    assert path.read_bytes() == b"old\n"
    assert [left.name for left in boot.iterdir()] == ["config.txt"]


def test_the_file_is_whole_on_the_card_before_it_takes_the_old_ones_place(
    boot_file: ModuleType, boot: Path, reboot_flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = boot / "config.txt"
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def seen_fsync(number: int) -> None:
        steps.append(f"sync {Path(os.readlink(f'/proc/self/fd/{number}')).name}")
        fsync(number)

    def seen_rename(source: str, target: str) -> None:
        asked = "with" if reboot_flag.exists() else "without"
        steps.append(f"rename {Path(source).name}, {asked} a reboot asked for")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    change(boot_file, path)
    assert steps == [
        "sync config.txt.appliance-unfinished",
        "rename config.txt.appliance-unfinished, with a reboot asked for",
        "sync firmware",
    ]


def test_what_an_interruption_left_behind_is_removed(boot_file: ModuleType, boot: Path) -> None:
    path = boot / "config.txt"
    path.write_bytes(b"old\n")
    (boot / "config.txt.appliance-unfinished").write_bytes(b"ha")
    (boot / "config.txt.before-appliance.appliance-unfinished").write_bytes(b"o")
    file = boot_file.BootFile.read(path)
    assert file.remove_leftovers()
    assert not file.remove_leftovers()
    assert [left.name for left in boot.iterdir()] == ["config.txt"]


def test_a_read_only_partition_is_no_fault_where_nothing_has_to_change(
    boot_file: ModuleType, boot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "unlink", refuse)
    (boot / "config.txt").write_bytes(b"old\n")
    assert not boot_file.BootFile.read(boot / "config.txt").remove_leftovers()


def test_no_mode_and_no_owner_is_set(
    boot_file: ModuleType, boot: Path, reboot_flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("vfat knows no modes and no owners")

    for name in ("chmod", "fchmod", "chown", "fchown", "lchown"):
        monkeypatch.setattr(os, name, refuse)
    (boot / "config.txt").write_bytes(b"old\n")
    change(boot_file, boot / "config.txt")
    assert reboot_flag.exists()


def test_a_link_stays_a_link(boot_file: ModuleType, boot: Path, reboot_flag: Path) -> None:
    link = boot.parent / "config.txt"
    link.symlink_to("firmware/config.txt")
    (boot / "config.txt").write_bytes(b"old\n")
    change(boot_file, link)
    assert link.is_symlink()
    assert (boot / "config.txt").read_bytes() == b"new\n"
    assert reboot_flag.exists()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("nowhere/config.txt", None, "mount the boot partition"),
        ("config.txt", b"a\0=\0001\0", "not plain text"),
    ],
)
def test_what_cannot_be_read_is_refused(
    boot_file: ModuleType, boot: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (boot / name).write_bytes(content)
    with pytest.raises(boot_file.BootFileError, match=why):
        boot_file.BootFile.read(boot / name)
