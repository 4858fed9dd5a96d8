"""Files and folders that others may use too: what they put there may be anything."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def only_user(path: Path) -> Iterator[None]:
    """Be the only one who uses the file or folder at `path` by this function.

    Nothing is written, so a read-only card will do. Raises `BlockingIOError` if another
    process uses it, `OSError` if it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until the file, or what the folder holds, is on the card; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_small(path: Path, most_bytes: int, *, any_kind: bool = False) -> bytes:
    """Return what the file at `path` holds, which is a regular one unless it may be of `any_kind`.

    Raises `OSError` if it cannot be read, or is none such, or holds more than `most_bytes`.
    """
    # Looked at before it is opened: a pipe may wait for ever, a device take it for an order.
    if not any_kind and not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", str(path))
    return content
