"""The collector's configuration: TOML in, a checked `Config` out, or clear lines.

Every complaint names the file, the line, the key and what to write instead, and all
of them are reported at once: whoever mends a file by hand should need one round.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from pzem.config.checking import Checker
from pzem.config.settings import (
    CLOCK_MODES,
    DEFAULT_PASSWORD_FILE,
    DEFAULT_PATH,
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
from pzem.config.toml_lines import Key, key_lines, syntax_complaint
from pzem.config.wording import TOML, Notation
from pzem.errors import why
from pzem.files import read_small

__all__ = [
    "CLOCK_MODES",
    "DEFAULT_PASSWORD_FILE",
    "DEFAULT_PATH",
    "INTERVALS_S",
    "METER_TIME_S",
    "OWN_SUPPLY",
    "SUPPLIES",
    "TOML",
    "Config",
    "ConfigError",
    "HouseSettings",
    "InfluxSettings",
    "Key",
    "MeterSettings",
    "Notation",
    "SpoolSettings",
    "check",
    "has_wildcard",
    "load",
    "parse",
]

MAX_BYTES: Final = 2**20
"""Of a configuration; as many meters as there are addresses need less."""


def load(path: Path) -> Config:
    """Read and check the configuration at `path`; raises `ConfigError`."""
    try:
        # It may be written to standard input: of any kind, then.
        text = read_small(path, MAX_BYTES, any_kind=True).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            [f"{path}: no such file; name the configuration with --config PATH"]
        ) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {why(error)}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text; save it as UTF-8"]) from error
    return parse(text, str(path))


def parse(text: str, source: str = "pzem.toml") -> Config:
    """Check the TOML `text`; `source` is how complaints name it. Raises `ConfigError`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([syntax_complaint(str(error), source)]) from error
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise ConfigError([f"{source}: not a configuration: {error}"]) from error
    return check(document, key_lines(text), source)


def check(
    document: dict[str, Any],
    lines: Mapping[Key, int],
    source: str,
    notation: Notation = TOML,
    today: date | None = None,
) -> Config:
    """Check a configuration that was read from another kind of file.

    `lines` tells where each key is set, `source` and `notation` how complaints name the
    file and spell its keys. Where `today` is known, days far ahead of it are refused.
    Raises `ConfigError`.
    """
    return Checker(document, lines, source, notation, today).config()
