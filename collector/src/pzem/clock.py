"""The time of day, and whether the kernel believes in it.

A Pi has no clock of its own: it starts with the time of its last shutdown, or with
1970, and is put right over the network some time later.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

_TIME_ERROR: Final = 5
"""What adjtimex(2) returns while the clock is not synchronised."""
_TIMEX_BYTES: Final = 256
"""At least sizeof(struct timex): 208 on 64-bit Linux."""
_SYNCHRONISED_BY_TIMESYNCD = Path("/run/systemd/timesync/synchronized")


def is_synchronised() -> bool:
    """Tell whether the system's clock was put right since the last boot.

    The kernel takes its word back after some hours without a time server, although
    the clock is still good; what timesyncd noted in /run stays until the next boot.
    """
    if _SYNCHRONISED_BY_TIMESYNCD.exists():
        return True
    only_read = ctypes.create_string_buffer(_TIMEX_BYTES)
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(only_read)
    return 0 <= state < _TIME_ERROR
