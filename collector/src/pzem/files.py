"""Reading what others have put in a place: it may be anything, and never end."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def read_small(path: Path, most_bytes: int, *, may_be_pipe: bool = False) -> bytes:
    """Return what the regular file at `path` holds, or what comes out of a pipe.

    Raises `OSError` if it cannot be read, is something else or holds more than `most_bytes`.
    """
    mode = path.stat().st_mode  # before it is opened, which a device may take for an order
    if not (stat.S_ISREG(mode) or (may_be_pipe and stat.S_ISFIFO(mode))):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", str(path))
    return content
