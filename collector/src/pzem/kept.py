"""Small things that outlive a restart: one JSON file each, replaced as a whole."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class KeptFile:
    """A JSON object in a file that a power cut leaves either old or new, never torn.

    A file that cannot be written is said once, until it can again; whoever keeps
    something in it goes on with what is in memory and may try again later.
    """

    def __init__(self, file: Path | None, price: str) -> None:
        """`file` None keeps nothing. `price`: what the loss costs, for the log."""
        self._file = file
        self._price = price
        self._said = False

    def load(self) -> dict[str, Any] | None:
        """Return what was kept, or None: no file, or none that can be used.

        A file that is damaged is set aside as `NAME.damaged` and said.
        """
        if self._file is None:
            return None
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be read: %s; %s", self._file, error.strerror, self._price)
            return None
        except (ValueError, RecursionError):
            kept = None
        if isinstance(kept, dict):
            return kept
        aside = self._file.with_name(f"{self._file.name}.damaged")
        log.warning("%s is damaged, kept as %s; %s", self._file, aside.name, self._price)
        with contextlib.suppress(OSError):
            self._file.replace(aside)
        return None

    def save(self, kept: dict[str, Any]) -> bool:
        """Replace the file and wait until it is on the card; return whether that worked."""
        if self._file is None:
            return False
        fresh = self._file.with_name(f"{self._file.name}.new")
        try:
            with fresh.open("w", encoding="utf-8") as stream:
                json.dump(kept, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._file)
            _sync_folder(self._file.parent)
        except OSError as error:
            if not self._said:
                self._said = True
                log.warning("%s cannot be written: %s; %s", self._file, error.strerror, self._price)
            return False
        if self._said:
            self._said = False
            log.info("%s can be written again", self._file)
        return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
