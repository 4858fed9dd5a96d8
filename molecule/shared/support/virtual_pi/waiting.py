"""Waiting for what a machine does in its own time."""

import time
from collections.abc import Callable
from typing import Final

POLL_S: Final = 0.5


def wait_until(condition: Callable[[], bool], timeout_s: float, otherwise: str) -> float:
    """Wait until `condition` holds; return after how many s. Raises `TimeoutError`."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout_s:
            raise TimeoutError(f"{otherwise} within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    return time.monotonic() - start
