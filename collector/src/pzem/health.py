"""How each meter is, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pzem.meter import Outcome, Silent
from pzem.moment import Moment
from pzem.registers import Reading

OK: Final = "ok"
SILENT: Final = "silent"
FAULTY: Final = "faulty"


@dataclass(frozen=True, slots=True)
class MeterHealth:
    """The state of one meter."""

    state: str
    """`OK`, `SILENT` or `FAULTY`."""
    reason: str
    """Why it is silent or faulty, as in the database; empty if it is well."""
    since: Moment
    """The first slot of this state. The reason may have changed meanwhile."""


def state_of(outcome: Outcome) -> str:
    """Return the state that one outcome stands for."""
    if isinstance(outcome, Reading):
        return OK
    return SILENT if isinstance(outcome, Silent) else FAULTY


class Health:
    """Follows the outcomes of the slots, one after the other.

    A state changes with the first slot that shows another one: what is news for people
    and what a hiccup is decided by the `Announcer`.
    """

    def __init__(self) -> None:
        self._meters: dict[str, MeterHealth] = {}

    def take(self, moment: Moment, outcomes: Mapping[str, Outcome]) -> dict[str, MeterHealth]:
        """Note what a slot brought; return how every meter is, by name."""
        for name, outcome in outcomes.items():
            state = state_of(outcome)
            last = self._meters.get(name)
            self._meters[name] = MeterHealth(
                state,
                "" if isinstance(outcome, Reading) else outcome.reason,
                last.since if last is not None and last.state == state else moment,
            )
        return dict(self._meters)
