"""Small things that outlive a restart: one JSON file each, replaced as a whole."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pzem.files import sync
from pzem.saver import Saver

log = logging.getLogger(__name__)


class KeptFile:
    """A JSON object in a file that a power cut leaves either old or new, never torn.

    A file that cannot be written is said once, until it can again; whoever keeps
    something in it goes on with what is in memory.
    """

    def __init__(
        self,
        file: Path | None,
        price: str,
        saver: Saver | None = None,
        is_right: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> None:
        """`file` None keeps nothing. `price`: what the loss costs, for the log.

        `saver` writes the file, until it can be written; without one whoever saves waits
        for the card, and may try again later. `is_right` tells whether an object may be
        what was saved.
        """
        self._file = file
        self._price = price
        self._saver = saver
        self._is_right = is_right
        self._said = False
        self._is_written = file is not None

    def load(self) -> dict[str, Any] | None:
        """Return what was kept, or None: no file, or none that can be used.

        A file that is damaged, or not right, is set aside as `NAME.damaged` and said. Waits
        for the card.
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
        if isinstance(kept, dict) and self._is_right(kept):
            return kept
        aside = self._file.with_name(f"{self._file.name}.damaged")
        log.warning("%s is damaged, kept as %s; %s", self._file, aside.name, self._price)
        with contextlib.suppress(OSError):
            self._file.replace(aside)
        return None

    def save(self, kept: dict[str, Any]) -> bool:
        """Have the file replaced; return whether it is, or will be.

        With a saver this takes `kept` as it is now, and waits for nothing.
        """
        if self._file is None:
            return False
        write = functools.partial(self._write, self._file, json.dumps(kept, indent=1))
        if self._saver is None:
            self._is_written = write()
            return self._is_written
        self._saver.submit(self, write)
        return True

    def is_saved(self, timeout_s: float = 0.0) -> bool:
        """Tell whether all that was saved is on the card, waiting `timeout_s` at most for it."""
        if self._saver is None or self._file is None:
            return self._is_written
        return self._saver.is_done(self, timeout_s)

    def _write(self, file: Path, text: str) -> bool:
        """Replace the file and wait until it is on the card; return whether that worked."""
        fresh = file.with_name(f"{file.name}.new")
        try:
            with fresh.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(file)
            sync(file.parent)
        except OSError as error:
            if not self._said:
                self._said = True
                log.warning("%s cannot be written: %s; %s", file, error.strerror, self._price)
            return False
        if self._said:
            self._said = False
            log.info("%s can be written again", file)
        return True
