"""What people are told of the steps of an energy register."""

from __future__ import annotations

import logging
from typing import Final

from pzem.house.register import Kind, Step

_STEPS: Final = {
    Kind.GREW: (logging.INFO, "its energy register counted on unread, from {before} to {after}"),
    Kind.RESET: (
        logging.INFO,
        "its energy register was set to zero ({before} before, {after} now); the lifetime energy "
        "goes on",
    ),
    Kind.WRAPPED: (
        logging.INFO,
        "its energy register has come to its end and began anew; the lifetime energy goes on",
    ),
    Kind.SET_BACK: (
        logging.WARNING,
        "its energy register fell from {before} to {after}, which is neither zero nor another "
        "count since; the lifetime energy goes on from there, what was used meanwhile is not in it",
    ),
    Kind.JUMPED: (
        logging.WARNING,
        "its energy register rose from {before} to {after}, more than a meter can measure in that "
        "time; this is not counted. If the meter was replaced, all is well",
    ),
}

log = logging.getLogger(__name__)


def say_step(name: str, step: Step, before_wh: float, after_wh: float) -> None:
    """Say how the register of `name` came from one value to another, in Wh."""
    level, words = _STEPS[step.kind]
    log.log(level, "%s: %s", name, words.format(before=kwh(before_wh), after=kwh(after_wh)))


def say_replaced(name: str, before_wh: float, after_wh: float) -> None:
    """Say that another meter is in the place of `name`; its register and the old one's, in Wh."""
    log.info(
        "%s: a new meter, its energy register at %s (the old one's was at %s); the lifetime "
        "energy goes on where it was",
        name,
        kwh(after_wh),
        kwh(before_wh),
    )


def kwh(energy_wh: float) -> str:
    """Return an energy in the words of a register's display."""
    return f"{energy_wh / 1000:.3f} kWh"
