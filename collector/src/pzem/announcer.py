"""Log lines for people: one when a meter's state has changed, never one a cycle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pzem.health import OK, state_of
from pzem.meter import (
    HAS_POWER,
    LINE_IN_DOUBT,
    NO_ANSWER,
    NO_ANSWER_YET,
    NO_PORT,
    NOT_FOUND,
    PORT_BUSY,
    PORT_FAILED,
    Faulty,
    Outcome,
    Silent,
)
from pzem.registers import Reading
from pzem.settling import SETTLING

SURE_AFTER_CYCLES: Final = 3
"""A state has to last before it is news: on a line that loses a reply now and then,
every hiccup is in the database and none in the log."""

WORDS: Final = {
    NO_ANSWER_YET: "no answer",
    HAS_POWER: "no answer, though it has power; its cable, or the meter itself",
    LINE_IN_DOUBT: "no answer; perhaps the cable of its adapter",
    NO_PORT: "its adapter is not plugged in",
    NOT_FOUND: "not heard on any port so far; it is looked for",
    PORT_BUSY: "another program holds its port",
    PORT_FAILED: "its port does not work",
}
"""What people are told in place of the word in the database."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _News:
    said: str = OK
    seen: str = OK
    same_cycles: int = 0
    """For so long it has been as it is now seen."""
    health_cycles: int = 0
    """For so long it has been well, or unwell for whatever reason."""


class Announcer:
    """Compares each cycle with what was last said about each meter."""

    def __init__(self) -> None:
        self._meters: dict[str, _News] = {}

    def note(self, outcomes: Mapping[str, Outcome]) -> None:
        """Log what has changed for good with these outcomes."""
        for name, outcome in outcomes.items():
            if outcome == SETTLING:
                continue  # it answers, and is read in a moment
            news = self._meters.setdefault(name, _News())
            kind = _kind(outcome)
            same_health = (kind == OK) == (news.seen == OK)
            news.same_cycles = news.same_cycles + 1 if kind == news.seen else 1
            news.health_cycles = news.health_cycles + 1 if same_health else 1
            news.seen = kind
            recovered_or_fell_ill = (kind == OK) != (news.said == OK)
            cycles = news.health_cycles if recovered_or_fell_ill else news.same_cycles
            if kind != news.said and cycles >= SURE_AFTER_CYCLES:
                self._say(name, outcome)
                news.said = kind

    @staticmethod
    def _say(name: str, outcome: Outcome) -> None:
        if isinstance(outcome, Reading):
            log.info("%s is read again", name)
        elif isinstance(outcome, Silent):
            log.warning("%s is silent (%s)", name, _explain(outcome))
        else:
            log.warning("%s is faulty (%s)", name, _describe(outcome))


def _kind(outcome: Outcome) -> str:
    """Return the state: what ails a faulty meter may change from cycle to cycle."""
    if not isinstance(outcome, Silent):
        return state_of(outcome)
    return NO_ANSWER if outcome.reason == NO_ANSWER_YET else outcome.reason


def _explain(outcome: Silent) -> str:
    return WORDS.get(outcome.reason, outcome.reason.replace("_", " "))


def _describe(outcome: Faulty) -> str:
    if outcome.reason == "bad_crc":
        return "bad_crc; if that stays, look whether two meters have its address"
    return outcome.reason
