"""Where the meters were found, kept over restarts."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class Memory:
    """Where the meters were found, in a file: addresses to ports and USB sockets.

    Losing it costs a search, so a file that cannot be read or written is said once
    and otherwise done without.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._places: dict[str, dict[str, str | None]] = {}
        if file is not None:
            self._places = self._load(file)

    def recall(self, address: int) -> tuple[str | None, str | None] | None:
        """Return (port, USB socket) of the meter with `address`, or None if unknown."""
        place = self._places.get(str(address))
        return (place.get("port"), place.get("usb")) if place is not None else None

    def keep(self, address: int, port: str, usb: str | None) -> None:
        """Remember where a meter was heard, across restarts and power cuts."""
        place = {"port": port, "usb": usb}
        if self._places.get(str(address)) == place:
            return
        self._places[str(address)] = place
        if self._file is None:
            return
        fresh = self._file.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as stream:
                json.dump(self._places, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._file)
        except OSError as error:
            log.warning(
                "%s cannot be written: %s; ports are searched anew after a restart",
                self._file,
                error.strerror,
            )
            self._file = None

    @staticmethod
    def _load(file: Path) -> dict[str, dict[str, str | None]]:
        try:
            places = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read (%s); ports are searched anew", file, error)
            return {}
        if not isinstance(places, dict):
            return {}
        return {address: place for address, place in places.items() if _is_place(place)}


def _is_place(place: object) -> bool:
    return (
        isinstance(place, dict)
        and isinstance(place.get("port"), str)
        and isinstance(place.get("usb"), str | None)
    )
