"""What one slot brought, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pzem.meter import Outcome
from pzem.moment import Moment


@dataclass(frozen=True, slots=True)
class Sample:
    """One slot: when, and one outcome for each meter, by its name."""

    moment: Moment
    outcomes: Mapping[str, Outcome]
    """Settled: what a meter shows right after its supply has returned is not believed."""
