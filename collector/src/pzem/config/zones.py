"""The names of time zones, where the system or the package tzdata knows them."""

from __future__ import annotations

import difflib
import zoneinfo

_ANYWHERE = "UTC"
"""In every set of time zones; where even it is missing there is none."""
_OTHER_SCALES = ("posix/", "right/")
"""Folders of some systems: the same zones again, and such that count leap seconds."""


def is_zone(name: str) -> bool:
    """Tell whether there is a time zone of this name; True where nobody can know."""
    if name.startswith(_OTHER_SCALES):
        return False
    return _is_there(name) or not _is_there(_ANYWHERE)


def nearest_zone(name: str) -> str | None:
    """Return the name that may have been meant."""
    zones = {zone.lower(): zone for zone in sorted(zoneinfo.available_timezones())}
    near = difflib.get_close_matches(name.lower(), zones, n=1)
    return zones[near[0]] if near else None


def _is_there(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # unknown, no name, a folder
        return False
    return True
