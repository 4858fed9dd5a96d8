"""Reading what others have put in a place: it may be anything, and never end."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


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
