"""What the collector is told: frozen dataclasses, and the names that they may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from pzem.errors import why
from pzem.files import read_small
from pzem.tariff.prices import Tariff

DEFAULT_PATH: Final = Path("/etc/pzem/pzem.toml")
DEFAULT_PASSWORD_FILE: Final = Path("/etc/pzem/influxdb.password")
MAX_PASSWORD_BYTES: Final = 4096

SUPPLIES: Final = ("utility", "generator", "circuit")
CLOCK_MODES: Final = ("trust", "wait")
INTERVALS_S: Final = tuple(n for n in range(1, 61) if 60 % n == 0)
METER_TIME_S: Final = 0.5
"""Line time to set aside for one meter: a read takes 65 to 130 ms, and one that fails
has to leave room for a second try."""
OWN_SUPPLY: Final = "own"
"""`fed_from` of a meter that is powered by the conductor that it measures."""

_WILDCARD = re.compile(r"[*?\[]")


class ConfigError(Exception):
    """The configuration cannot be used; `lines` say why, one complaint each."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True)
class InfluxSettings:
    """Where the points go. Without `password_file` nothing is sent to log in with."""

    url: str = "http://127.0.0.1:8086"
    database: str = "housePower"
    username: str = "pzem"
    password_file: Path | None = None

    def password(self) -> str | None:
        """Return the password, or None where no authentication is asked for.

        Raises `ConfigError` if the file is missing, unreadable, empty or no regular file.
        """
        if self.password_file is None:
            return None
        try:
            password = read_small(self.password_file, MAX_PASSWORD_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            words = why(error) if isinstance(error, OSError) else "not UTF-8 text"
            if not isinstance(error, PermissionError):
                words += "; mend the file, or take the key out if InfluxDB asks for no password"
            raise ConfigError(
                [f"influxdb.password_file: cannot read {self.password_file}: {words}"]
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
    pi_fed_from: str = ""
    """What powers the Pi, as `fed_from` of the meters there; empty: not known, or a battery."""
    currency: str = ""
    """Of all prices, its three letters (ISO 4217); empty: there are none."""


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
    tariffs: tuple[Tariff, ...] = ()
    """What the utility's energy costs, in the order of their days."""
    generator_fuel: tuple[Tariff, ...] = ()
    """What the generator's energy costs, likewise."""


def has_wildcard(pattern: str) -> bool:
    """Tell whether a name in `ports` is a glob rather than one device."""
    return _WILDCARD.search(pattern) is not None
