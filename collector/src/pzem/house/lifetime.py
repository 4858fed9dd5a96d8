"""Lifetime energy of every meter: kept over restarts, resets and replaced meters.

What is kept lies in one file, written when something changes that no rule can find out
again, each hour, and at the end; not each cycle. The database holds the rest, and all of
it if the file is lost.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from pzem.config import MeterSettings
from pzem.house.account import Account, Break, Declaration, Known
from pzem.house.sample import Sample
from pzem.kept import KeptFile
from pzem.moment import Moment
from pzem.registers import Reading

PRICE: Final = "after a power cut the lifetime energy is taken from the database"
"""For `KeptFile`."""
SAVE_S: Final = 3600.0
LAST_CALL_WH: Final = 9_990_000.0
"""A register is set to zero only once that is on the card. From here on, at the latest,
also without: at its end it may stop."""
REQUESTS_KEPT: Final = 20
"""How many requests are remembered, so that none is met twice."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MeterEnergy:
    """One meter's lifetime energy at one slot."""

    lifetime_wh: float | None
    """In Wh, never falling; None where it is not known, or not yet."""
    estimated: bool
    """It has grown since the slot before by power that was integrated, or in part."""
    is_stuck: bool = False
    """The register stands still under load."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was stored of one meter last, all of it in one slot."""

    energy_wh: float
    lifetime_wh: float | None
    """None: it was never stored."""
    unix_s: int
    is_true: bool = True
    """Whether `unix_s` is by a clock that was right."""


class Lifetime:
    """The lifetime energy of `meters`, slot by slot. Use from one thread.

    `interval_s`: seconds between slots. `reset_enabled`: a register is set to zero before
    it comes to its end.
    """

    def __init__(
        self,
        meters: Sequence[MeterSettings],
        interval_s: float,
        kept: KeptFile,
        *,
        reset_enabled: bool = True,
    ) -> None:
        self._kept = kept
        self._reset_enabled = reset_enabled
        document = kept.load() or {}
        entries = document.get("meters")
        self._entries: dict[str, Any] = dict(entries) if isinstance(entries, dict) else {}
        """As in the file; also of meters that are no longer configured."""
        self._requests = _strings(document.get("requests"))
        self._must_save = False
        self._accounts = {meter.name: self._account(meter, interval_s) for meter in meters}
        self._now: Moment | None = None
        self._saved_s: float | None = None
        self._end_said: set[str] = set()

    def take(self, sample: Sample) -> dict[str, MeterEnergy]:
        """Take one slot; return the energy of each meter that was read in it."""
        self._now = sample.moment
        energies = {}
        for name, account in self._accounts.items():
            outcome = sample.outcomes.get(name)
            if isinstance(outcome, Reading):
                lifetime_wh = account.take(outcome.energy_wh, outcome.watts, sample.moment)
                energies[name] = MeterEnergy(lifetime_wh, account.is_estimated, account.is_stuck)
        self._save_if_due(sample.moment.monotonic_s)
        return energies

    def recalled(self, words: Mapping[str, Recalled], *, is_complete: bool = True) -> None:
        """Take the last words that were stored of each meter.

        Those of the database are complete: a meter that it knows nothing of begins with
        its register. What waits in the spool is told with `is_complete` False.
        """
        for name, account in self._accounts.items():
            account.recall(_known(words.get(name)), is_complete=is_complete)

    def replaced(self, name: str, request: str = "") -> bool:
        """Note that another meter takes, or has just taken, the place of `name`.

        `request` tells one such word from another: the same one is met once. Returns
        whether that is on the card already.
        """
        if request and request in self._requests:
            return self._kept.is_saved()
        account = self._accounts.get(name)
        if account is None:
            log.warning("%s is said to be replaced, but there is no such meter", name)
        else:
            account.declare(Declaration(), self._now)
        if request:
            self._requests = [*self._requests, request][-REQUESTS_KEPT:]
        self._save()
        return self._kept.is_saved()

    def resets_due(self, wait_s: float = 0.0) -> list[str]:
        """Return the meters whose register is to be set to zero now, and keep that.

        To be called when the slot taken last is safely put. Waits `wait_s` at most until it
        is on the card what the registers showed in that slot: no later reading may come
        between. A reset that fails, or that the card holds up, is asked for again later.
        """
        if self._now is None:
            return []
        due = [n for n, account in self._accounts.items() if account.is_reset_due(self._now)]
        if not self._reset_enabled:
            self._say_end(due)
            return []
        for name in due:
            self._accounts[name].note_reset(self._now)
        if not due:
            return []
        self._save()
        if self._kept.is_saved(wait_s):
            return due
        for name in due:
            if self._register_wh(name) < LAST_CALL_WH:
                self._accounts[name].take_back_reset()
        self._save()
        return [name for name in due if self._register_wh(name) >= LAST_CALL_WH]

    def close(self) -> None:
        """Keep everything, at the end of a run."""
        if self._now is not None:
            self._save(closed=True)

    def _account(self, meter: MeterSettings, interval_s: float) -> Account:
        entry = self._entries.get(meter.name)
        entry = dict(entry) if isinstance(entry, dict) else {}
        try:
            known = _read_known(entry.get("known"))
            last_break = _read_break(entry.get("last_break"))
            declaration = _read_declaration(entry.get("declared"))
        except (KeyError, TypeError, ValueError):
            log.warning("%s: what was kept of its lifetime energy cannot be used", meter.name)
            known = last_break = declaration = None
        if meter.replaced is not None and entry.get("replaced") != meter.replaced.isoformat():
            entry["replaced"] = meter.replaced.isoformat()
            declaration = Declaration(meter.replaced)
            self._must_save = True
        self._entries[meter.name] = entry
        is_newest = entry.get("newest") is True
        # The file must not go on saying so: what this run counts is not in it.
        self._must_save = self._must_save or is_newest
        return Account(
            meter.name,
            interval_s,
            known,
            is_newest=is_newest,
            last_break=last_break,
            declaration=declaration,
        )

    def _register_wh(self, name: str) -> float:
        known = self._accounts[name].kept()
        return 0.0 if known is None else known.register_wh

    def _say_end(self, near: Sequence[str]) -> None:
        for name in near:
            if name not in self._end_said:
                self._end_said.add(name)
                log.warning(
                    "%s: its energy register nears its end at 9999.999 kWh, where nobody knows "
                    "what it does; set it to zero with pzem reset-energy %s",
                    name,
                    name,
                )

    def _save_if_due(self, now_s: float) -> None:
        if self._saved_s is None:
            self._saved_s = now_s
        changed = self._must_save or any(a.has_changed for a in self._accounts.values())
        if changed or now_s - self._saved_s >= SAVE_S:
            self._save()
            self._saved_s = now_s

    def _save(self, *, closed: bool = False) -> None:
        for name, account in self._accounts.items():
            self._entries[name] = {
                "known": _written(account.kept()),
                "newest": closed and account.is_complete,
                "last_break": _written(account.last_break),
                "declared": _written_declaration(account.declaration),
                "replaced": self._entries[name].get("replaced"),
            }
        self._kept.save({"meters": self._entries, "requests": self._requests})
        self._must_save = False
        for account in self._accounts.values():
            account.has_changed = False


def _known(word: Recalled | None) -> Known | None:
    if word is None or word.lifetime_wh is None:
        return None
    moment = Moment(word.unix_s, 0.0, "", is_true=word.is_true)
    return Known(word.energy_wh, word.lifetime_wh, word.lifetime_wh, moment)


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _written(kept: Known | Break | None) -> dict[str, Any] | None:
    return None if kept is None else asdict(kept)


def _written_declaration(declaration: Declaration | None) -> dict[str, Any] | None:
    if declaration is None:
        return None
    day = None if declaration.day is None else declaration.day.isoformat()
    return {"day": day, "until_unix_s": declaration.until_unix_s}


def _read_known(kept: object) -> Known | None:
    if (table := _table(kept)) is None:
        return None
    return Known(
        _number(table["register_wh"]),
        _number(table["lifetime_wh"]),
        _number(table["shown_wh"]),
        _read_moment(table["moment"]),
        _number(table["bridged_wh"]),
        bool(table["reset_sent"]),
    )


def _read_break(kept: object) -> Break | None:
    if (table := _table(kept)) is None:
        return None
    return Break(_read_moment(table["moment"]), _number(table["counted_wh"]))


def _read_declaration(kept: object) -> Declaration | None:
    if (table := _table(kept)) is None:
        return None
    day, until = table["day"], table["until_unix_s"]
    return Declaration(
        None if day is None else date.fromisoformat(day), None if until is None else int(until)
    )


def _read_moment(kept: dict[str, Any]) -> Moment:
    return Moment(
        int(kept["unix_s"]),
        _number(kept["monotonic_s"]),
        str(kept["boot_id"]),
        is_true=bool(kept["is_true"]),
    )


def _table(kept: object) -> dict[str, Any] | None:
    if kept is None or isinstance(kept, dict):
        return kept
    raise TypeError("not a table")


def _number(kept: str | float) -> float:
    number = float(kept)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
