"""What the machine itself tells: how warm its processor is."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

COLDEST_C: Final = -60.0
HOTTEST_C: Final = 150.0
"""No processor runs beyond these, in °C; drivers report 0 K and the like on a fault."""

log = logging.getLogger(__name__)


class Thermometer:
    """A thermal zone of the kernel: a file that holds whole m°C (sysfs-class-thermal).

    Not every machine has one, so a file that cannot be used is said once and otherwise
    done without. It is looked at each time: a driver may come late.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._said = False

    def celsius(self) -> float | None:
        """Return the temperature in °C, or None where it cannot be known."""
        try:
            celsius = int(self._text()) / 1000
        except OSError as error:
            why = error.strerror
        except ValueError:
            why = "not a temperature in m°C"
        else:
            if COLDEST_C <= celsius <= HOTTEST_C:
                return celsius
            why = f"{celsius:g} °C is not the temperature of a processor"
        if not self._said:
            self._said = True
            log.info("no CPU temperature: %s: %s", self._file, why)
        return None

    def _text(self) -> bytes:
        """Read without ever waiting, whatever kind of file was named."""
        descriptor = os.open(self._file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            return os.read(descriptor, 32)
        finally:
            os.close(descriptor)
