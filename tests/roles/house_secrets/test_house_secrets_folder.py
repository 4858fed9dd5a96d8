"""The folder of secrets, on a real disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from project_files import load

Folder: TypeAlias = Any  # of a file that is in no package
store = load("roles/house_secrets/library/house_secrets_folder.py")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "house"


def folder(path: Path, *, dry: bool = False) -> Folder:
    return store.Folder(path, "this computer", ["one", "two"], dry=dry)


def kept(path: Path, secrets: Mapping[str, str], *, dry: bool = False) -> bool:
    """Keep the secrets and tell whether that changed anything."""
    where_it_is_kept = folder(path, dry=dry)
    where_it_is_kept.keep(secrets, {"a": "1"})
    return bool(where_it_is_kept.changed)


def test_nothing_is_there_and_reading_leaves_it_so(path: Path) -> None:
    empty = folder(path)
    assert (empty.read(), empty.agreed(), empty.changed) == ({}, {}, False)
    assert not path.parent.exists()


def test_what_is_kept_is_found_again(path: Path) -> None:
    assert kept(path, {"one": "päss {{ word }}", "two": "b"})
    assert folder(path).read() == {"one": "päss {{ word }}", "two": "b"}
    assert folder(path).agreed() == {"a": "1"}


def test_only_the_owner_can_read_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        kept(path, {"one": "a"})
    finally:
        os.umask(before)
    assert mode(path) == 0o700
    assert {mode(file) for file in path.iterdir()} == {0o600}


def test_keeping_the_same_changes_nothing(path: Path) -> None:
    kept(path, {"one": "a"})
    before = {file: file.stat() for file in path.iterdir()}
    assert not kept(path, {"one": "a"})
    assert {file: file.stat() for file in path.iterdir()} == before


def test_what_is_replaced_stays_beside_it(path: Path) -> None:
    kept(path, {"one": "a"})
    kept(path, {"one": "b"})
    assert (path / "one.previous").read_text() == "a\n"
    assert folder(path).read() == {"one": "b"}


def test_what_is_not_named_stays(path: Path) -> None:
    kept(path, {"one": "a"})
    (path / "notes").write_text("mine\nalone")
    kept(path, {"two": "b"})
    assert folder(path).read() == {"one": "a", "two": "b"}
    assert (path / "notes").read_text() == "mine\nalone"


def test_open_modes_are_mended(path: Path) -> None:
    kept(path, {"one": "a"})
    path.chmod(0o755)
    (path / "one").chmod(0o644)
    assert kept(path, {"one": "a"})
    assert (mode(path), mode(path / "one")) == (0o700, 0o600)


@pytest.mark.parametrize("exists", [False, True])
def test_check_mode_leaves_everything(path: Path, exists: bool) -> None:
    if exists:
        kept(path, {"one": "a"})
        path.chmod(0o755)
    before = sorted(path.parent.rglob("*"))
    assert kept(path, {"one": "b", "two": "c"}, dry=True)
    assert sorted(path.parent.rglob("*")) == before
    assert not exists or mode(path) == 0o755
    assert folder(path).read() == ({"one": "a"} if exists else {})


def test_an_empty_file_counts_as_none(path: Path) -> None:
    kept(path, {"one": "a", "two": "b"})
    (path / "one").write_text("")
    assert folder(path).read() == {"two": "b"}


def test_a_full_disk_leaves_the_old_secret_and_no_litter(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(path, {"one": "a"})
    before = sorted(path.iterdir())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        kept(path, {"one": "b"})
    monkeypatch.undo()
    assert "the disk is full" in store.explain(caught.value, folder(path))
    assert sorted(path.iterdir()) == before
    assert folder(path).read() == {"one": "a"}


def test_the_litter_of_an_interrupted_run_is_cleared(path: Path) -> None:
    kept(path, {"one": "a"})
    (path / f"{store.TEMPORARY}x").write_text("half a sec")
    assert kept(path, {"one": "a"})
    assert not (path / f"{store.TEMPORARY}x").exists()


def test_a_damaged_record_is_none(path: Path) -> None:
    kept(path, {"one": "a"})
    for damage in ("", "[1]", "{"):
        (path / store.RECORD).write_text(damage)
        assert folder(path).agreed() == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"two\nlines\n", "is not one line"),
        (b"bell\x07\n", "is not one line"),
        (b"x" * 300, "at most 256 characters"),
        (b"\xff\xfe", "is not text"),
    ],
)
def test_a_file_that_is_no_secret_is_refused(path: Path, content: bytes, says: str) -> None:
    kept(path, {"one": "a"})
    (path / "one").write_bytes(content)
    with pytest.raises(store.ProblemError, match=says) as caught:
        folder(path).read()
    assert "x" * 9 not in str(caught.value)  # a message is no place for a secret
    assert "\n" not in str(caught.value)


def test_a_file_in_the_folders_place_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("")
    with pytest.raises(store.ProblemError, match="is not a folder; move it out of the way"):
        folder(path).read()


def test_a_folder_of_somebody_else_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(path, {"one": "a"})
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(store.ProblemError, match=r"sudo chown -R .* .*house"):
        folder(path).read()
