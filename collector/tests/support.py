"""What the system tests share: simulated meters, and patience."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable

import pytest

from pzem.registers import Reading
from pzem.testing import SimulatedMeter

PZEM = [sys.executable, "-m", "pzem.cli"]
SHOWN = Reading(120.0, 5.0, 600.0, 1234.0, 60.0, 1.0, alarm=False)
PATIENCE_S = 60.0
"""Longer than anything takes on a busy machine; only a failing test waits that long."""


def meter(name: str, address: int, **shown: float) -> SimulatedMeter:
    """Return a simulated meter that displays `SHOWN` but for what is given."""
    simulated = SimulatedMeter(name, address)
    simulated.show(dataclasses.replace(SHOWN, **shown))  # type: ignore[arg-type]
    return simulated


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds; fail with `what` if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        time.sleep(0.05)
