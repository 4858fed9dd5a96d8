"""How complaints spell keys and values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from typing import Final, TypeGuard

from pzem.config.toml_lines import Key


@dataclass(frozen=True)
class Notation:
    """How a file spells what a complaint asks for; by default as the collector's TOML."""

    prefix: str = ""
    """What stands before each top-level key."""
    sets: str = " = "
    a_meter: str = "add a [[meters]] table with name, address and supply"
    meters: str = "a list of tables"
    more_meter_keys: tuple[str, ...] = ()
    """Keys of a meter that mean something to others than the collector."""
    names: Mapping[Key, str] = field(default_factory=dict)
    """What the file calls keys that stand elsewhere there than in the collector's TOML."""

    def spell(self, key: Key) -> str:
        """Spell a key as a reader counts: the third meter is `meters[3]`."""
        for length in range(len(key), 0, -1):
            if (name := self.names.get(key[:length])) is not None:
                spelled, rest = name, key[length:]
                break
        else:
            spelled, rest = f"{self.prefix}{key[0]}", key[1:]
        for part in rest:
            spelled += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
        return spelled if spelled.isprintable() else _printable(json.dumps(spelled))


TOML: Final = Notation()


def is_int(value: object) -> TypeGuard[int]:
    """Tell a whole number from true and false, which Python takes for numbers."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell a number, whole or not, from all else."""
    return is_int(value) or isinstance(value, float)


def show(value: object) -> str:
    """Spell a value as TOML would, on one line and not too long."""
    if is_int(value) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, str | bool):
        return _shortened(_printable(json.dumps(value, ensure_ascii=False)))
    if isinstance(value, date | time):
        return value.isoformat()
    return _shortened(_printable(" ".join(repr(value).split())))


def _printable(text: str) -> str:
    """Escape what a terminal would take for an order, as JSON leaves DEL."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def wrong_type(value: object, wanted: str) -> str:
    """Say that a value is not what it should be."""
    return f"{show(value)} is not {wanted}"
