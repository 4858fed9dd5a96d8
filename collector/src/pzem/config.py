"""The collector's configuration: TOML in, a checked `Config` out, or clear lines.

Every complaint names the file, the line, the key and what to write instead, and all
of them are reported at once: whoever mends a file by hand should need one round.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import tomllib
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from pzem.registers import MAX_ADDRESS, MIN_ADDRESS

DEFAULT_PATH: Final = Path("/etc/pzem/pzem.toml")
DEFAULT_PASSWORD_FILE: Final = Path("/etc/pzem/influxdb.password")

SUPPLIES: Final = ("utility", "generator", "circuit")
CLOCK_MODES: Final = ("trust", "wait")
INTERVALS_S: Final = tuple(n for n in range(1, 61) if 60 % n == 0)
METER_TIME_S: Final = 0.5
"""Line time to set aside for one meter: a read takes 65 to 130 ms, and one that fails
has to leave room for a second try."""
OWN_SUPPLY: Final = "own"
"""`fed_from` of a meter that is powered by the conductor that it measures."""

_NAME = re.compile(r"[A-Za-z0-9_]+")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
"""A host name or an IPv6 address, as `urlsplit` returns it."""
_WILDCARD = re.compile(r"[*?\[]")

_TOP_KEYS = (
    "interval_s",
    "ports",
    "exclude_ports",
    "state_dir",
    "clock",
    "thermal_zone",
    "influxdb",
    "meters",
)
_INFLUXDB_KEYS = ("url", "database", "username", "password_file")
_METER_KEYS = ("name", "address", "supply", "leg", "fed_from")

Key = tuple[str | int, ...]


class ConfigError(Exception):
    """The configuration cannot be used; `lines` say why, one complaint each."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


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


TOML: Final = Notation()


@dataclass(frozen=True)
class InfluxSettings:
    """Where the points go. Without `password_file` nothing is sent to log in with."""

    url: str = "http://127.0.0.1:8086"
    database: str = "housePower"
    username: str = "pzem"
    password_file: Path | None = None

    def password(self) -> str | None:
        """Return the password, or None where no authentication is asked for.

        Raises `ConfigError` if the file is missing, unreadable or empty.
        """
        if self.password_file is None:
            return None
        try:
            password = self.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ConfigError(
                [
                    f"influxdb.password_file: cannot read {self.password_file}: {why}; "
                    "mend the file, or take the key out if InfluxDB asks for no password"
                ]
            ) from error
        if not password:
            raise ConfigError(
                [f"influxdb.password_file: {self.password_file} is empty; write the password in it"]
            )
        return password


@dataclass(frozen=True)
class MeterSettings:
    """One meter of the house. `name` is the key of its history and never changes."""

    name: str
    address: int
    supply: str
    leg: str | None = None
    fed_from: str = "panel"
    breaker_amps: float | None = None
    """Rating of the breaker of what it measures, in A."""
    replaced: date | None = None
    """The day on which another meter took its place, last."""


@dataclass(frozen=True)
class HouseSettings:
    """What the meters cannot tell of the house."""

    timezone: str = ""
    """IANA name; empty: the system's own."""
    nominal_volts: float = 120.0
    """Of one leg to neutral, in V."""
    generator_va: float | None = None
    """What the generator can deliver for long, in VA."""
    generator_serviced: date | None = None
    """Day of the generator's last service."""
    energy_reset: bool = True
    """Whether the collector sets a register back before it reaches its end."""


@dataclass(frozen=True)
class SpoolSettings:
    """What may be kept on the card while the database is away."""

    max_mb: int = 512
    """Size of the file, in 10^6 bytes; 30 days of three meters every 5 s need less."""


@dataclass(frozen=True)
class Config:
    """A configuration that `pzem run` can work with."""

    meters: tuple[MeterSettings, ...]
    interval_s: int = 5
    ports: tuple[str, ...] = ("/dev/ttyUSB*",)
    exclude_ports: tuple[str, ...] = ()
    state_dir: Path = Path("/var/lib/pzem")
    clock: str = "trust"
    thermal_zone: Path = Path("/sys/class/thermal/thermal_zone0/temp")
    influxdb: InfluxSettings = InfluxSettings()
    house: HouseSettings = HouseSettings()
    spool: SpoolSettings = SpoolSettings()
    runtime_dir: Path = Path("/run/pzem")
    """Where others look at the state of the running collector: memory, not the card."""


def load(path: Path) -> Config:
    """Read and check the configuration at `path`; raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            [f"{path}: no such file; name the configuration with --config PATH"]
        ) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text; save it as UTF-8"]) from error
    return parse(text, str(path))


def parse(text: str, source: str = "pzem.toml") -> Config:
    """Check the TOML `text`; `source` is how complaints name it. Raises `ConfigError`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_complaint(str(error), source)]) from error
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise ConfigError([f"{source}: not a configuration: {error}"]) from error
    return check(document, _key_lines(text), source)


def check(
    document: dict[str, Any], lines: Mapping[Key, int], source: str, notation: Notation = TOML
) -> Config:
    """Check a configuration that was read from another kind of file.

    `lines` tells where each key is set, `source` and `notation` how complaints name the
    file and spell its keys. Raises `ConfigError`.
    """
    return _Checker(document, lines, source, notation).config()


def has_wildcard(pattern: str) -> bool:
    """Tell whether a name in `ports` is a glob rather than one device."""
    return _WILDCARD.search(pattern) is not None


def _syntax_complaint(message: str, source: str) -> str:
    position = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if position is None:
        return f"{source}: not TOML: {message}"
    what = message[: position.start()]
    line, column = position.groups()
    return f"{source}:{line}: not TOML: {what} (column {column}); mend this line"


def _key_lines(text: str) -> dict[Key, int]:
    """Map each key to the line that sets it: `tomllib` does not keep that.

    A line inside a multi-line string may be taken for a key; the price is a
    complaint that names a wrong line, never a wrong verdict.
    """
    lines: dict[Key, int] = {}
    arrays: dict[str, int] = {}
    table: Key = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[\[\s*([^\]]+?)\s*\]\]", line):
            name = header[1].strip("\"'")
            arrays[name] = arrays.get(name, -1) + 1
            table = (name, arrays[name])
            lines[table] = number
        elif header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            first, *rest = _key_parts(header[1])
            table = (first, arrays[first], *rest) if first in arrays else (first, *rest)
            lines.setdefault(table, number)
        elif pair := re.match(r"\s*([^=#\[\]{}]+?)\s*=", line):
            parts = _key_parts(pair[1])
            for length in range(1, len(parts) + 1):
                lines.setdefault((*table, *parts[:length]), number)
    return lines


def _key_parts(dotted: str) -> list[str]:
    return [part.strip("\"' ") for part in dotted.split(".")]


class _Checker:
    """Walks a parsed document once and collects every complaint on the way."""

    def __init__(
        self, document: dict[str, Any], lines: Mapping[Key, int], source: str, notation: Notation
    ) -> None:
        self._document = document
        self._lines = lines
        self._source = source
        self._notation = notation
        self._complaints: list[tuple[int, str]] = []

    def config(self) -> Config:
        self._unknown_keys(self._document, (), _TOP_KEYS)
        meters = self._meters()
        interval_s = self._interval()
        ports = self._strings("ports", Config.ports, may_be_empty=False)
        exclude_ports = self._strings("exclude_ports", (), may_be_empty=True)
        state_dir = self._string(self._document, ("state_dir",), str(Config.state_dir))
        clock = self._choice(self._document, ("clock",), CLOCK_MODES, Config.clock)
        thermal_zone = self._string(self._document, ("thermal_zone",), str(Config.thermal_zone))
        influxdb = self._influxdb()
        self._spread(interval_s, ports, exclude_ports, len(meters))
        if self._complaints:
            raise ConfigError(line for _, line in sorted(self._complaints))
        return Config(
            meters=meters,
            interval_s=interval_s,
            ports=ports,
            exclude_ports=exclude_ports,
            state_dir=Path(state_dir),
            clock=clock,
            thermal_zone=Path(thermal_zone),
            influxdb=influxdb,
        )

    def _complain(self, key: Key, problem: str, mend: str) -> None:
        number = 1
        for length in range(len(key), 0, -1):
            if key[:length] in self._lines:
                number = self._lines[key[:length]]
                break
        line = f"{self._source}:{number}: {self._notation.prefix}{_spell(key)}: {problem}; {mend}"
        self._complaints.append((number, line))

    def _unknown_keys(self, table: Mapping[str, Any], at: Key, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                self._complain((*at, key), "unknown key", mend)

    def _interval(self) -> int:
        value = self._document.get("interval_s", Config.interval_s)
        choices = ", ".join(map(str, INTERVALS_S))
        if not _is_int(value):
            self._complain(("interval_s",), _wrong_type(value, "a whole number"), "write 5")
        elif value not in INTERVALS_S:
            self._complain(
                ("interval_s",),
                f"{_show(value)} s does not divide a minute",
                f"use one of {choices}",
            )
        else:
            return int(value)
        return Config.interval_s

    def _strings(
        self, key: str, default: tuple[str, ...], *, may_be_empty: bool
    ) -> tuple[str, ...]:
        value = self._document.get(key, list(default))
        mend = 'write a list of names, such as ["/dev/ttyUSB*"]'
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._complain((key,), _wrong_type(value, "a list of strings"), mend)
        elif not (value or may_be_empty) or not all(value):
            self._complain((key,), "names no port", mend)
        else:
            return tuple(value)
        return default

    def _string(self, table: Mapping[str, Any], key: Key, default: str) -> str:
        value = table.get(str(key[-1]), default)
        if not isinstance(value, str):
            self._complain(key, _wrong_type(value, "a string"), "put it in quotes")
        elif not value.isprintable():
            self._complain(key, f"{_show(value)} holds a control character", "take it out")
        elif not value:
            self._complain(key, "empty", f'leave it out for "{default}"' if default else "fill it")
        else:
            return value
        return default

    def _choice(
        self, table: Mapping[str, Any], key: Key, choices: tuple[str, ...], default: str
    ) -> str:
        value = table.get(str(key[-1]), default)
        if value in choices:
            return str(value)
        allowed = ", ".join(f'"{choice}"' for choice in choices)
        what = key[-1] if isinstance(value, str) else "value"
        self._complain(key, f"unknown {what} {_show(value)}", f"use one of {allowed}")
        return default

    def _influxdb(self) -> InfluxSettings:
        table = self._document.get("influxdb", {})
        if not isinstance(table, dict):
            self._complain(("influxdb",), _wrong_type(table, "a table"), "write [influxdb]")
            return InfluxSettings()
        self._unknown_keys(table, ("influxdb",), _INFLUXDB_KEYS)
        defaults = InfluxSettings()
        url = self._string(table, ("influxdb", "url"), defaults.url)
        self._url(url)
        password_file = DEFAULT_PASSWORD_FILE if os.path.exists(DEFAULT_PASSWORD_FILE) else None
        if "password_file" in table:
            password_file = Path(
                self._string(table, ("influxdb", "password_file"), str(DEFAULT_PASSWORD_FILE))
            )
        return InfluxSettings(
            url=url,
            database=self._string(table, ("influxdb", "database"), defaults.database),
            username=self._string(table, ("influxdb", "username"), defaults.username),
            password_file=password_file,
        )

    def _url(self, url: str) -> None:
        key: Key = ("influxdb", "url")
        mend = "write it like http://127.0.0.1:8086"
        try:
            parts = urllib.parse.urlsplit(url)
            usable = (
                parts.scheme in ("http", "https")
                and _HOST.fullmatch(parts.hostname or "") is not None
                and parts.port != 0
            )
        except ValueError:
            usable = False
        if not usable:
            self._complain(key, f"not a web address: {_show(url)}", mend)
        elif parts.username is not None or parts.password is not None:
            self._complain(key, "holds a user or password", "use username and password_file")
        elif parts.query or parts.fragment:
            self._complain(key, "holds more than the server's address", mend)

    def _meters(self) -> tuple[MeterSettings, ...]:
        tables = self._document.get("meters", [])
        mend = self._notation.a_meter
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._complain(("meters",), _wrong_type(tables, self._notation.meters), mend)
            return ()
        if not tables:
            self._complain(("meters",), "no meter", mend)
        meters = tuple(self._meter(index, table) for index, table in enumerate(tables))
        self._unique(meters)
        return meters

    def _meter(self, index: int, table: dict[str, Any]) -> MeterSettings:
        at: Key = ("meters", index)
        self._unknown_keys(table, at, (*_METER_KEYS, *self._notation.more_meter_keys))
        for key in ("name", "address", "supply"):
            if key not in table:
                self._complain(at, f"{key} is missing", f"add {key}{self._notation.sets}…")
        name = self._name(table, (*at, "name")) if "name" in table else ""
        address = self._address(table, (*at, "address")) if "address" in table else 0
        supply = self._choice(table, (*at, "supply"), SUPPLIES, SUPPLIES[0])
        leg = self._name(table, (*at, "leg")) if "leg" in table else None
        fed_from = MeterSettings.fed_from
        if "fed_from" in table:
            fed_from = self._name(table, (*at, "fed_from"))
        return MeterSettings(name, address, supply, leg, fed_from)

    def _name(self, table: Mapping[str, Any], key: Key) -> str:
        value = self._string(table, key, "")
        if value and not _NAME.fullmatch(value):
            self._complain(key, f"not a name: {_show(value)}", "use letters, digits and _ only")
        return value

    def _address(self, table: Mapping[str, Any], key: Key) -> int:
        value = table["address"]
        mend = f"use {MIN_ADDRESS} to {MAX_ADDRESS}"
        if not _is_int(value):
            self._complain(key, _wrong_type(value, "a whole number"), mend)
            return 0
        if not MIN_ADDRESS <= value <= MAX_ADDRESS:
            self._complain(key, f"{_show(value)} is not the address of a meter", mend)
            return 0
        return int(value)

    def _unique(self, meters: tuple[MeterSettings, ...]) -> None:
        names: dict[str, int] = {}
        addresses: dict[int, int] = {}
        for index, meter in enumerate(meters):
            if meter.name and names.setdefault(meter.name, index) != index:
                self._complain(
                    ("meters", index, "name"),
                    f'"{meter.name}" is the name of another meter too',
                    "give each meter a name of its own",
                )
            if meter.address and addresses.setdefault(meter.address, index) != index:
                other = meters[addresses[meter.address]].name
                self._complain(
                    ("meters", index, "address"),
                    f"{meter.address} is the address of {other} too",
                    "change one with pzem set-address and write it here",
                )

    def _spread(
        self, interval_s: int, ports: tuple[str, ...], exclude: tuple[str, ...], meters: int
    ) -> None:
        if any(has_wildcard(port) for port in ports):
            return
        usable = {port for port in ports if not any(fnmatch(port, shut) for shut in exclude)}
        if not usable:
            self._complain(("exclude_ports",), "shuts every port out", "leave one for the meters")
            return
        needed_s = METER_TIME_S * math.ceil(meters / len(usable))
        if needed_s > interval_s:
            longer = next((n for n in INTERVALS_S if n >= needed_s), INTERVALS_S[-1])
            setting = f"{self._notation.prefix}interval_s{self._notation.sets}{longer}"
            self._complain(
                ("interval_s",),
                f"{meters} meters on {len(usable)} port(s) need {needed_s:g} s a cycle",
                f"write {setting}, or name more ports",
            )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _show(value: object) -> str:
    """Spell a value as TOML would, on one line and not too long."""
    if _is_int(value) and isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, str | bool):
        return _shortened(json.dumps(value, ensure_ascii=False))
    return _shortened(" ".join(repr(value).split()))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _wrong_type(value: object, wanted: str) -> str:
    return f"{_show(value)} is not {wanted}"


def _spell(key: Key) -> str:
    """Spell a key as a reader counts: the third meter is `meters[3]`."""
    spelled = ""
    for part in key:
        spelled += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if spelled else part
    return spelled if spelled.isprintable() else json.dumps(spelled)
