"""The check of what was read: every complaint on the way, then the settings."""

from __future__ import annotations

import difflib
import math
import os
import re
import urllib.parse
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from pzem.config.settings import (
    CLOCK_MODES,
    DEFAULT_PASSWORD_FILE,
    INTERVALS_S,
    METER_TIME_S,
    OWN_SUPPLY,
    SUPPLIES,
    Config,
    ConfigError,
    HouseSettings,
    InfluxSettings,
    MeterSettings,
    SpoolSettings,
    has_wildcard,
)
from pzem.config.tariffs import TariffChecker
from pzem.config.toml_lines import Key
from pzem.config.wording import Notation, is_int, is_number, show, wrong_type
from pzem.config.zones import is_zone, nearest_zone
from pzem.registers import MAX_ADDRESS, MIN_ADDRESS

_NAME = re.compile(r"[A-Za-z0-9_]+")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
"""A host name or an IPv6 address, as `urlsplit` returns it."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_A_CURRENCY = 'write its three letters, such as "USD" or "EUR"'

VOLTS_OF_A_LEG: Final = (100, 250)
"""From Japan's 100 V to what a leg of 240 V may be called."""
GENERATOR_VA: Final = (100, 100_000)
"""Below it somebody wrote kVA or kW."""
BREAKER_AMPS: Final = (1, 1000)
"""More than a meter's 100 A: whoever measures a leg of 200 A is warned by the meter's end."""
SPOOL_MB: Final = (10, 10_000)
"""From some hours of three meters to a good part of a small card."""
YEARS: Final = (2000, 2099)
"""Of a day on which something was done to the house. Not bounded by today: a Pi that has
just started may be decades behind, and would refuse what was right an hour ago."""
DAYS_AHEAD: Final = 31
"""How far a day may lie ahead where today is known: a service that has been arranged."""

_TOP_KEYS = (
    "interval_s",
    "ports",
    "exclude_ports",
    "state_dir",
    "clock",
    "thermal_zone",
    "runtime_dir",
    "house",
    "spool",
    "influxdb",
    "meters",
    "tariffs",
    "generator_fuel",
)
_INFLUXDB_KEYS = ("url", "database", "username", "password_file")
_HOUSE_KEYS = (
    "timezone",
    "nominal_volts",
    "generator_va",
    "generator_serviced",
    "energy_reset",
    "pi_fed_from",
    "currency",
)
_SPOOL_KEYS = ("max_mb",)
_METER_KEYS = ("name", "address", "supply", "leg", "fed_from", "breaker_amps", "replaced")


class Checker:
    """Walks a parsed document once and collects every complaint on the way."""

    def __init__(
        self,
        document: dict[str, Any],
        lines: Mapping[Key, int],
        source: str,
        notation: Notation,
        today: date | None,
    ) -> None:
        self._document = document
        self._lines = lines
        self._source = source
        self._notation = notation
        self._today = today
        self._complaints: list[tuple[int, str]] = []

    def config(self) -> Config:
        """Return the settings; raises `ConfigError` with all complaints in order of lines."""
        self._unknown_keys(self._document, (), _TOP_KEYS)
        meters = self._meters()
        interval_s = self._interval()
        ports = self._strings("ports", Config.ports, may_be_empty=False)
        exclude_ports = self._strings("exclude_ports", (), may_be_empty=True)
        state_dir = self._folder("state_dir", Config.state_dir)
        clock = self._choice(self._document, ("clock",), CLOCK_MODES, Config.clock)
        thermal_zone = self._string(self._document, ("thermal_zone",), str(Config.thermal_zone))
        runtime_dir = self._folder("runtime_dir", Config.runtime_dir)
        house = self._house(meters)
        spool = self._spool()
        influxdb = self._influxdb()
        self._spread(interval_s, ports, exclude_ports, len(meters))
        prices = TariffChecker(self._complain, self._unknown_keys, self._day_to_come)
        tariffs, fuel = prices.tariffs(self._document), prices.fuel(self._document)
        if (tariffs or fuel) and not house.currency:
            self._complain(("house", "currency"), "prices have none", _A_CURRENCY)
        if self._complaints:
            raise ConfigError(line for _, line in sorted(self._complaints))
        return Config(
            meters=meters,
            interval_s=interval_s,
            ports=ports,
            exclude_ports=exclude_ports,
            state_dir=state_dir,
            clock=clock,
            thermal_zone=Path(thermal_zone),
            influxdb=influxdb,
            house=house,
            spool=spool,
            runtime_dir=runtime_dir,
            tariffs=tariffs,
            generator_fuel=fuel,
        )

    def _complain(self, key: Key, problem: str, mend: str) -> None:
        number = 1
        for length in range(len(key), 0, -1):
            if key[:length] in self._lines:
                number = self._lines[key[:length]]
                break
        line = f"{self._source}:{number}: {self._notation.spell(key)}: {problem}; {mend}"
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
        if not is_int(value):
            self._complain(("interval_s",), wrong_type(value, "a whole number"), "write 5")
        elif value not in INTERVALS_S:
            self._complain(
                ("interval_s",),
                f"{show(value)} s does not divide a minute",
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
            self._complain((key,), wrong_type(value, "a list of strings"), mend)
        elif not (value or may_be_empty) or not all(value):
            self._complain((key,), "names no port", mend)
        else:
            return tuple(value)
        return default

    def _string(self, table: Mapping[str, Any], key: Key, default: str) -> str:
        value = table.get(str(key[-1]), default)
        if not isinstance(value, str):
            self._complain(key, wrong_type(value, "a string"), "put it in quotes")
        elif not value.isprintable():
            self._complain(key, f"{show(value)} holds a control character", "take it out")
        elif not value:
            self._complain(key, "empty", f'leave it out for "{default}"' if default else "fill it")
        else:
            return value
        return default

    def _folder(self, key: str, default: Path) -> Path:
        folder = Path(self._string(self._document, (key,), str(default)))
        if not folder.is_absolute():
            mend = f'write the whole path, such as "{default}"'
            self._complain((key,), f"{show(str(folder))} does not begin with /", mend)
        return folder

    def _choice(
        self, table: Mapping[str, Any], key: Key, choices: tuple[str, ...], default: str
    ) -> str:
        value = table.get(str(key[-1]), default)
        if value in choices:
            return str(value)
        allowed = ", ".join(f'"{choice}"' for choice in choices)
        what = key[-1] if isinstance(value, str) else "value"
        self._complain(key, f"unknown {what} {show(value)}", f"use one of {allowed}")
        return default

    def _bounded(
        self,
        table: Mapping[str, Any],
        key: Key,
        bounds: tuple[int, int],
        mend: str,
        *,
        whole: bool = False,
    ) -> float | None:
        """Return a number that is there, or None after a complaint; NaN is within no bounds."""
        value = table[str(key[-1])]
        low, high = bounds
        if not (is_int(value) if whole else is_number(value)):
            self._complain(key, wrong_type(value, "a whole number" if whole else "a number"), mend)
        elif not low <= value <= high:
            self._complain(key, f"{show(value)} is not between {low} and {high}", mend)
        else:
            return float(value)
        return None

    def _flag(self, table: Mapping[str, Any], key: Key, *, default: bool) -> bool:
        value = table.get(str(key[-1]), default)
        if isinstance(value, bool):
            return value
        self._complain(key, wrong_type(value, "true or false"), "write true or false, no quotes")
        return default

    def _day_to_come(self, table: Mapping[str, Any], key: Key) -> date | None:
        return self._day(table, key, may_be_far_ahead=True)

    def _day(
        self, table: Mapping[str, Any], key: Key, *, may_be_far_ahead: bool = False
    ) -> date | None:
        value = table.get(str(key[-1]))
        if value is None:
            return None
        mend = "write it like 2026-05-31, year first"
        if (day := _as_day(value)) is None:
            self._complain(key, wrong_type(value, "a day"), mend)
        elif not YEARS[0] <= day.year <= YEARS[1]:
            self._complain(key, f"the year {day.year} cannot be meant", mend)
        elif may_be_far_ahead or self._today is None:
            return day
        elif day > self._today + timedelta(days=DAYS_AHEAD):
            self._complain(
                key, f"{day} is far ahead: here it is {self._today}", "correct the day or the clock"
            )
        else:
            return day
        return None

    def _table(self, name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        """Return a table whose keys are known; what is none counts as an empty one."""
        table = self._document.get(name, {})
        if not isinstance(table, dict):
            self._complain((name,), wrong_type(table, "a table"), f"write [{name}]")
            return {}
        self._unknown_keys(table, (name,), known)
        return table

    def _house(self, meters: tuple[MeterSettings, ...]) -> HouseSettings:
        table = self._table("house", _HOUSE_KEYS)
        nominal_volts: float | None = None
        if "nominal_volts" in table:
            mend = "write the volts of one leg to neutral, such as 120 or 230"
            key: Key = ("house", "nominal_volts")
            nominal_volts = self._bounded(table, key, VOLTS_OF_A_LEG, mend)
        generator_va: float | None = None
        if "generator_va" in table:
            mend = "write what it delivers for long in VA, such as 3500; leave it out if not known"
            key = ("house", "generator_va")
            generator_va = self._bounded(table, key, GENERATOR_VA, mend)
        return HouseSettings(
            timezone=self._timezone(table),
            nominal_volts=nominal_volts or HouseSettings.nominal_volts,
            generator_va=generator_va,
            generator_serviced=self._day(table, ("house", "generator_serviced")),
            energy_reset=self._flag(
                table, ("house", "energy_reset"), default=HouseSettings.energy_reset
            ),
            pi_fed_from=self._pi_fed_from(table, meters),
            currency=self._currency(table),
        )

    def _currency(self, table: Mapping[str, Any]) -> str:
        value = table.get("currency", HouseSettings.currency)
        if not isinstance(value, str) or (value and not _CURRENCY.fullmatch(value)):
            self._complain(("house", "currency"), wrong_type(value, "a currency"), _A_CURRENCY)
            return "?"
        return value

    def _pi_fed_from(self, table: Mapping[str, Any], meters: tuple[MeterSettings, ...]) -> str:
        value = table.get("pi_fed_from", HouseSettings.pi_fed_from)
        key: Key = ("house", "pi_fed_from")
        known = sorted({meter.fed_from for meter in meters} - {OWN_SUPPLY, ""})
        names = ", ".join(f'"{name}"' for name in known)
        mend = f'use {names} or ""' if known else 'write ""'
        if not isinstance(value, str):
            self._complain(key, wrong_type(value, "a string"), mend)
        elif value and meters and value not in known:
            self._complain(key, f"no meter is fed from {show(value)}", mend)
        else:
            return value
        return HouseSettings.pi_fed_from

    def _timezone(self, table: Mapping[str, Any]) -> str:
        value = table.get("timezone", HouseSettings.timezone)
        key: Key = ("house", "timezone")
        example = 'write a name such as America/New_York, or "" for the system\'s own'
        if not isinstance(value, str):
            self._complain(key, wrong_type(value, "a string"), example)
        elif value and not is_zone(value):
            near = nearest_zone(value)
            mend = f"did you mean {near}?" if near else example
            self._complain(key, f"there is no time zone {show(value)}", mend)
        else:
            return value
        return HouseSettings.timezone

    def _spool(self) -> SpoolSettings:
        table = self._table("spool", _SPOOL_KEYS)
        if "max_mb" not in table:
            return SpoolSettings()
        mend = f"write the megabytes that it may take, such as {SpoolSettings.max_mb}"
        max_mb = self._bounded(table, ("spool", "max_mb"), SPOOL_MB, mend, whole=True)
        return SpoolSettings(int(max_mb or SpoolSettings.max_mb))

    def _influxdb(self) -> InfluxSettings:
        table = self._table("influxdb", _INFLUXDB_KEYS)
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
            self._complain(key, f"not a web address: {show(url)}", mend)
        elif parts.username is not None or parts.password is not None:
            self._complain(key, "holds a user or password", "use username and password_file")
        elif parts.query or parts.fragment:
            self._complain(key, "holds more than the server's address", mend)

    def _meters(self) -> tuple[MeterSettings, ...]:
        tables = self._document.get("meters", [])
        mend = self._notation.a_meter
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._complain(("meters",), wrong_type(tables, self._notation.meters), mend)
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
        breaker_amps: float | None = None
        if "breaker_amps" in table:
            mend = "write the breaker's rating in A, such as 100; leave it out if not known"
            breaker_amps = self._bounded(table, (*at, "breaker_amps"), BREAKER_AMPS, mend)
        replaced = self._day(table, (*at, "replaced"))
        return MeterSettings(name, address, supply, leg, fed_from, breaker_amps, replaced)

    def _name(self, table: Mapping[str, Any], key: Key) -> str:
        value = self._string(table, key, "")
        if value and not _NAME.fullmatch(value):
            self._complain(key, f"not a name: {show(value)}", "use letters, digits and _ only")
        return value

    def _address(self, table: Mapping[str, Any], key: Key) -> int:
        value = table["address"]
        mend = f"use {MIN_ADDRESS} to {MAX_ADDRESS}"
        if not is_int(value):
            self._complain(key, wrong_type(value, "a whole number"), mend)
            return 0
        if not MIN_ADDRESS <= value <= MAX_ADDRESS:
            self._complain(key, f"{show(value)} is not the address of a meter", mend)
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
            setting = f"{self._notation.spell(('interval_s',))}{self._notation.sets}{longer}"
            self._complain(
                ("interval_s",),
                f"{meters} meters on {len(usable)} port(s) need {needed_s:g} s a cycle",
                f"write {setting}, or name more ports",
            )


def _as_day(value: object) -> date | None:
    """Return the day that a date or a text is; a time of the day is none."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, date) and not isinstance(value, datetime) else None
