"""What one slot brought, as the parts of the house take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pzem.meter import Outcome
from pzem.moment import Moment


@dataclass(frozen=True, slots=True)
class Sample:
    """One outcome for each configured meter, at one moment."""

    moment: Moment
    outcomes: Mapping[str, Outcome]
    """By the meter's name; settled, so what is a `Reading` is believed."""
