"""Where the meters were found, kept over restarts."""

from __future__ import annotations

from pathlib import Path

from pzem.kept import KeptFile
from pzem.saver import Saver


class Places:
    """Where the meters were found, in a file: addresses to ports and USB sockets.

    Losing it costs a search. `file` None keeps it in memory alone; for `saver` see `KeptFile`.
    """

    def __init__(self, file: Path | None, saver: Saver | None = None) -> None:
        self._file = KeptFile(file, "ports are searched anew after a restart", saver)
        places = self._file.load() or {}
        self._places = {address: place for address, place in places.items() if _is_place(place)}

    def recall(self, address: int) -> tuple[str | None, str | None] | None:
        """Return (port, USB socket) of the meter with `address`, or None if unknown."""
        place = self._places.get(str(address))
        return (place.get("port"), place.get("usb")) if place is not None else None

    def keep(self, address: int, port: str, usb: str | None) -> None:
        """Remember where a meter was heard, across restarts and power cuts."""
        place = {"port": port, "usb": usb}
        if self._places.get(str(address)) != place:
            self._places[str(address)] = place
            self._file.save(self._places)


def _is_place(place: object) -> bool:
    return (
        isinstance(place, dict)
        and isinstance(place.get("port"), str)
        and isinstance(place.get("usb"), str | None)
    )
