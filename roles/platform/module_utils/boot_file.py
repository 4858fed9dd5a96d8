"""Replace files on a Raspberry Pi's boot partition so that no power cut leaves half of one.

The partition is vfat: it knows no file modes and no owners, and its names have no colons.
It has no journal either, so a file is written beside the old one, synced, and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

COPY_SUFFIX = ".before-appliance"
UNFINISHED_SUFFIX = ".appliance-unfinished"
REBOOT_FLAG = Path("/run/reboot-required")


class BootFileError(Exception):
    """The file cannot be used or changed; the message says why and how to mend it."""


@dataclass(frozen=True)
class BootFile:
    """One file on the boot partition, as it was found."""

    path: Path
    content: bytes | None  # None: there is no such file

    @classmethod
    def read(cls, path: Path) -> BootFile:
        """Read a file; a missing one is no error, a missing folder is."""
        path = Path(os.path.realpath(path))
        if not path.parent.is_dir():
            raise BootFileError(
                f"{path.parent} does not exist: mount the boot partition there, or name the right "
                "folder in the role's variable (/boot/firmware on Raspberry Pi OS 12 and later)."
            )
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = None
        except OSError as error:
            raise BootFileError(_explain(error, path)) from error
        if content is not None and b"\0" in content:
            raise BootFileError(
                f"{path} is not plain text: it holds zero bytes, as after a power cut or when "
                "saved as 'Unicode'. Restore it, "
                f"for instance from {path.name}{COPY_SUFFIX} if that exists."
            )
        return cls(path, content)

    @property
    def unfinished(self) -> Path:
        """The file that an interrupted change leaves behind."""
        return _unfinished(self.path)

    def remove_leftovers(self) -> bool:
        """Remove what an interrupted change left behind; True if there was something."""
        removed = False
        for path in (self.unfinished, _unfinished(_copy(self.path))):
            if not path.exists():  # or a partition that is read-only by choice would complain
                continue
            try:
                path.unlink()
            except OSError as error:
                raise BootFileError(_explain(error, self.path)) from error
            removed = True
        return removed

    def replace(self, content: bytes, *, keep_copy: bool, reboot_flag: Path = REBOOT_FLAG) -> None:
        """Put new content in the file's place, and ask for the reboot that makes it count.

        The first change keeps a copy of what was there before, which is never written again.
        The reboot is asked for before the rename: an interruption between the two costs a
        reboot too many, the other order could lose one.
        """
        copy = _copy(self.path)
        try:
            if keep_copy and self.content is not None and not copy.exists():
                _write(copy, self.content)
            _write(self.path, content, before_rename=reboot_flag)
        except OSError as error:
            with contextlib.suppress(OSError, BootFileError):
                self.remove_leftovers()
            raise BootFileError(_explain(error, self.path)) from error


def _copy(path: Path) -> Path:
    return path.with_name(path.name + COPY_SUFFIX)


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + UNFINISHED_SUFFIX)


def _write(path: Path, content: bytes, before_rename: Path | None = None) -> None:
    unfinished = _unfinished(path)
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if before_rename is not None:
        before_rename.touch(mode=0o644)
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _explain(error: OSError, path: Path) -> str:
    folder = path.parent
    if error.errno == errno.EROFS:
        return (
            f"{folder} is mounted read-only, {path.name} was not changed: "
            f"mount -o remount,rw {folder} (a card that does this again is worn out: replace it)."
        )
    if error.errno == errno.ENOSPC:
        return (
            f"{folder} is full, {path.name} was not changed: see what fills it "
            f"(df -h {folder}; ls -lS {folder}) and delete what you put there."
        )
    return f"{path} was not changed: {error.strerror or error} (errno {error.errno})."
