"""What people may write for an address or a power."""

from __future__ import annotations

import argparse
from datetime import date
from typing import Final

from pzem.registers import MAX_ADDRESS, MIN_ADDRESS, WATTS

MAX_THRESHOLD_W: Final = int(WATTS.maximum)


def address_of(text: str) -> int | None:
    """Return the slave address that `text` spells, or None."""
    if not text.isdecimal() or len(text) > len(str(MAX_ADDRESS)):
        return None
    return int(text) if MIN_ADDRESS <= int(text) <= MAX_ADDRESS else None


def address(text: str) -> int:
    """Return the slave address that `text` spells; for `argparse`."""
    if (spelled := address_of(text)) is not None:
        return spelled
    raise argparse.ArgumentTypeError(
        f"{text} is not a meter's address; use {MIN_ADDRESS} to {MAX_ADDRESS}"
    )


def address_range(text: str) -> range:
    """Return the slave addresses that `text` spells, such as 1-16; for `argparse`."""
    first, dash, last = text.partition("-")
    addresses = range(address(first), address(last if dash else first) + 1)
    if not addresses:
        raise argparse.ArgumentTypeError(f"{text} is empty; write the smaller address first")
    return addresses


def watts(text: str) -> int:
    """Return the alarm threshold in W that `text` spells; for `argparse`."""
    if text.isdecimal() and len(text) < 6 and int(text) <= MAX_THRESHOLD_W:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text} is not a threshold; use 0 to {MAX_THRESHOLD_W} W, whole watts"
    )


def day(text: str) -> date:
    """Return the day that `text` spells, such as 2026-05-31; for `argparse`."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a day; write it as 2026-05-31") from error
