"""What the owner wrote about the house, checked before anything is touched.

All complaints come at once, one line each: file, line, key, what is wrong, what to write.
What concerns the collector is refused in the same cases as by `pzem check-config`, because
it is the same code.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from controller import mail
from controller.messages import ProblemError
from controller.yaml_lines import Document, Key, load
from pzem import config as collector

ROOT: Final = Path(__file__).parent.parent
HOUSE_FILE: Final = Path("inventory/group_vars/house.yml")
HOSTS_FILE: Final = Path("inventory/hosts.yml")
SECRETS: Final = "~/.config/house-power-monitor/HOUSE"
DEFAULTS_FILE: Final = Path("playbooks/group_vars/all.yml")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,39}")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_OVERLAY = re.compile(r"[a-z0-9][a-z0-9,_=-]*")

COLLECTOR_KEYS: Final[Mapping[str, Key]] = {
    "house_interval_s": ("interval_s",),
    "house_ports": ("ports",),
    "house_exclude_ports": ("exclude_ports",),
    "house_meters": ("meters",),
    "house_timezone": ("house", "timezone"),
    "house_nominal_volts": ("house", "nominal_volts"),
    "house_generator_va": ("house", "generator_va"),
    "house_generator_serviced": ("house", "generator_serviced"),
    "house_energy_reset": ("house", "energy_reset"),
    "house_pi_fed_from": ("house", "pi_fed_from"),
    "house_spool_max_mb": ("spool", "max_mb"),
    "house_currency": ("house", "currency"),
    "house_tariffs": ("tariffs",),
    "house_generator_fuel": ("generator_fuel",),
}
"""Keys of the house that the collector has too, and where they stand there."""

NOT_TOLD: Final[Mapping[str, object]] = {"house_generator_va": 0, "house_generator_serviced": ""}
"""What is written where nothing is known; to the collector nothing is said then."""

NOTATION: Final = collector.Notation(
    prefix="house_",
    sets=": ",
    a_meter="write one on each line, such as - {name: mainA, address: 4, supply: utility}",
    meters="a list of meters",
    more_meter_keys=("label",),
    names={place: key for key, place in COLLECTOR_KEYS.items()},
)

HOST_KEYS: Final[Mapping[str, type]] = {
    "ansible_host": str,
    "ansible_user": str,
    "ansible_port": int,
    "ansible_ssh_private_key_file": str,
    "ansible_connection": str,
}


@dataclass(frozen=True)
class Host:
    """One entry of hosts.yml."""

    name: str
    settings: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Return where it is reached."""
        return str(self.settings.get("ansible_host", self.name))


@dataclass(frozen=True)
class House:
    """The description of the house, with defaults where it says nothing."""

    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the house's name, the key of its secrets."""
        return str(self.values["house_name"])

    @property
    def meters(self) -> list[Mapping[str, Any]]:
        """Return the meters as they were written."""
        return list(self.values["house_meters"])


@cache
def defaults(root: Path = ROOT) -> Mapping[str, Any]:
    """Return the default of each key that a house may have."""
    values = yaml.safe_load((root / DEFAULTS_FILE).read_text(encoding="utf-8"))
    return {
        key: value
        for key, value in values.items()
        if key.startswith("house_") and not key.startswith("house_secrets_")
    }


@cache
def role_options(root: Path = ROOT) -> Mapping[str, str]:
    """Return the variables of all roles and their types, from their argument specs."""
    options: dict[str, str] = {}
    for path in sorted(root.glob("roles/*/meta/argument_specs.yml")):
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        for spec in specs.values():
            for name, option in (spec.get("options") or {}).items():
                secret = option.get("no_log", False)
                options[name] = "secret" if secret else option.get("type", "str")
    return options


def read_house(path: Path, source: str) -> House:
    """Read and check the house's description; a file that does not exist says nothing."""
    document = load(path, source) if os.path.lexists(path) else Document(source)
    if not document.complaints:
        _Checker(document).check()
    if document.complaints:
        raise ProblemError(*_in_order(document.complaints), code=2)
    return House({**defaults(), **document.values})


def read_hosts(path: Path, source: str) -> list[Host]:
    """Read and check hosts.yml."""
    document = load(path, source)
    hosts = _hosts(document) if not document.complaints else []
    if not hosts and not document.complaints:
        document.complain(
            ("house", "hosts"), "names no Raspberry Pi", "write its name below hosts:"
        )
    if document.complaints:
        raise ProblemError(*_in_order(document.complaints), code=2)
    return hosts


def _in_order(complaints: list[str]) -> list[str]:
    def number(complaint: str) -> int:
        found = re.match(r"[^:]*:(\d+):", complaint)
        return int(found[1]) if found else 0

    return sorted(dict.fromkeys(complaints), key=number)


class _Checker:
    """Checks the keys of the house, one method each where the collector has none."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._checks: Mapping[str, Callable[[Key, Any], None]] = {
            "house_name": self._name,
            "house_hostname": self._hostname,
            "house_lan_view": self._flag,
            "house_shutdown_button": self._flag,
            "house_shutdown_button_gpio": self._gpio,
            "house_rtc_overlay": self._overlay,
            "house_journal_storage": self._storage,
            "house_upgrade": self._flag,
        }

    def check(self) -> None:
        values = self._document.values
        known = {*self._checks, *COLLECTOR_KEYS, *mail.KEYS}
        for key, value in values.items():
            if key not in known and key not in role_options():
                self._unknown(key, known)
            elif value is None:
                self._complain((key,), "empty", "write a value, or put a # before the line")
            elif key in self._checks:
                self._checks[key]((key,), value)
            elif key not in known:
                self._role_variable(key, value)
        self._collector()
        for complaint in mail.complaints({**defaults(), **values}, set(values)):
            self._complain(*complaint)

    def _complain(self, key: Key, problem: str, mend: str) -> None:
        self._document.complain(key, problem, mend)

    def _unknown(self, key: str, known: set[str]) -> None:
        names = [*known, *role_options()]
        near = difflib.get_close_matches(key, names, n=1) or [
            name for name in known if name == f"house_{key}"
        ]
        mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        self._complain((key,), "unknown key", mend)

    def _role_variable(self, key: str, value: object) -> None:
        types: Mapping[str, tuple[type, ...]] = {
            "int": (int,), "float": (int, float), "bool": (bool,), "list": (list,), "dict": (dict,),
            "str": (str,), "path": (str,),
        }  # fmt: skip
        wanted = role_options()[key]
        if wanted == "secret":
            mend = f"take it out: passwords are made and kept in {SECRETS}; change it there"
            self._complain((key,), "a password has no place in this file", mend)
            return
        right = isinstance(value, types.get(wanted, (object,)))
        if not right or (isinstance(value, bool) and wanted in ("int", "float")):
            words = {"int": "a whole number", "float": "a number", "bool": "true or false",
                     "list": "a list", "dict": "a list of keys"}  # fmt: skip
            mend = "put it in quotes" if wanted in ("str", "path") else "see the role's README.md"
            self._complain((key,), f"{_show(value)} is not {words.get(wanted, 'text')}", mend)

    def _text(self, key: Key, value: object, mend: str) -> str | None:
        if isinstance(value, str):
            return value
        self._complain(key, f"{_show(value)} is not text", mend)
        return None

    def _name(self, key: Key, value: object) -> None:
        text = self._text(key, value, "put it in quotes")
        if text is not None and not _NAME.fullmatch(text):
            mend = "use letters, digits, - and _ only, at most 40; not - in front"
            self._complain(key, f"{_show(text)} cannot be the name of a house", mend)

    def _hostname(self, key: Key, value: object) -> None:
        text = self._text(key, value, "put it in quotes")
        if not text:
            return
        if text.endswith(".local"):
            mend = f"write {text.removesuffix('.local')}: .local is added by the network"
            self._complain(key, f"{_show(text)} ends with .local", mend)
        elif not _HOSTNAME.fullmatch(text) or text.isdecimal() or text.lower() == "localhost":
            mend = "use letters, digits and - only, at most 63, such as power"
            self._complain(key, f"{_show(text)} cannot be the name of a machine", mend)

    def _flag(self, key: Key, value: object) -> None:
        if not isinstance(value, bool):
            self._complain(key, f"{_show(value)} is not true or false", "write true or false")

    def _gpio(self, key: Key, value: object) -> None:
        mend = "use the number of a GPIO pin, 2 to 27, such as 17"
        if isinstance(value, bool) or not isinstance(value, int):
            self._complain(key, f"{_show(value)} is not a whole number", mend)
        elif not 2 <= value <= 27:
            self._complain(key, f"there is no GPIO pin {value}", mend)

    def _overlay(self, key: Key, value: object) -> None:
        text = self._text(key, value, 'write such as ds3231, or "" for none')
        if text and not _OVERLAY.fullmatch(text):
            self._complain(key, f"{_show(text)} is no clock module", "write such as ds3231")

    def _storage(self, key: Key, value: object) -> None:
        if value not in ("persistent", "volatile"):
            self._complain(key, f"unknown value {_show(value)}", "use persistent or volatile")

    def _collector(self) -> None:
        values = {**defaults(), **self._document.values}
        # What is empty has had its complaint.
        values = {
            key: defaults().get(key) if value is None else value for key, value in values.items()
        }
        self._labels(values["house_meters"])
        if not self._are_meters(values["house_meters"]):
            values["house_meters"] = defaults()["house_meters"]
        part: dict[str, Any] = {"house": {}, "spool": {}}
        for key, (first, *rest) in COLLECTOR_KEYS.items():
            value = values[key]
            if key in NOT_TOLD and value == NOT_TOLD[key] and not isinstance(value, bool):
                continue
            table = part[str(first)] if rest else part
            table[str(rest[0] if rest else first)] = value
        lines: dict[Key, int] = {
            (*COLLECTOR_KEYS[first], *rest): number
            for (first, *rest), number in self._document.lines.items()
            if isinstance(first, str) and first in COLLECTOR_KEYS
        }
        try:
            collector.check(part, lines, self._document.source, NOTATION, _today())
        except collector.ConfigError as error:
            self._document.complaints += error.lines

    def _are_meters(self, meters: object) -> bool:
        """Tell whether the collector can judge the list; it would refuse the whole of it."""
        if not isinstance(meters, list):
            return True
        strangers = [number for number, meter in enumerate(meters) if not isinstance(meter, dict)]
        for number in strangers:
            self._complain(
                ("house_meters", number),
                f"{_show(meters[number])} is not a meter",
                "write such as {name: mainA, address: 4, supply: utility}",
            )
        return not strangers

    def _labels(self, meters: object) -> None:
        for number, meter in enumerate(meters if isinstance(meters, list) else []):
            if not isinstance(meter, dict) or "label" not in meter:
                continue
            key, label = ("house_meters", number, "label"), meter["label"]
            if not isinstance(label, str):
                self._complain(key, f"{_show(label)} is not text", "put it in quotes")
            elif not label.strip() or not label.isprintable():
                self._complain(key, f"{_show(label)} is nothing to show", "write some letters")


def _hosts(document: Document) -> list[Host]:
    for key in document.values:
        if key != "house":
            document.complain((key,), "unknown key", "write the Raspberry Pi below house: hosts:")
    house = document.values.get("house")
    hosts = house.get("hosts") if isinstance(house, dict) else None
    if isinstance(house, dict):
        for key in house:
            if key != "hosts":
                near = f"write it in {HOUSE_FILE}" if key == "vars" else "did you mean hosts?"
                document.complain(("house", key), "unknown key", near)
    if not isinstance(hosts, dict):
        document.complain(("house", "hosts"), "names no Raspberry Pi", "see hosts.yml.example")
        return []
    return [
        Host(name, _host_settings(document, name, settings)) for name, settings in hosts.items()
    ]


def _host_settings(document: Document, name: str, settings: object) -> Mapping[str, str | int]:
    at: Key = ("house", "hosts", name)
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        document.complain(at, f"{_show(settings)} is not a list of keys", "write ansible_host: …")
        return {}
    for key, value in settings.items():
        wanted = HOST_KEYS.get(key)
        if "password" in key or key.endswith("_pass"):
            document.complain(
                (*at, key),
                "a password has no place in this file",
                "take it out; it is asked for if the Pi wants one",
            )
        elif key.startswith("house_"):
            document.complain((*at, key), "describes the house", f"write it in {HOUSE_FILE}")
        elif wanted is None:
            near = difflib.get_close_matches(key, HOST_KEYS, n=1)
            mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(HOST_KEYS)}"
            document.complain((*at, key), "unknown key", mend)
        elif isinstance(value, bool) or not isinstance(value, wanted) or value == "":
            kind, mend = (
                ("a whole number", "write 22")
                if wanted is int
                else ("text", "put it in quotes" if value not in (None, "") else "write a value")
            )
            document.complain((*at, key), f"{_show(value)} is not {kind}", mend)
        elif key == "ansible_connection" and value not in ("ssh", "local"):
            document.complain((*at, key), f"unknown value {_show(value)}", "use ssh or local")
        elif key == "ansible_port" and value not in range(1, 65536):
            document.complain((*at, key), f"there is no port {value}", "use 1 to 65535, mostly 22")
    return settings


def _today() -> date:
    return date.today()  # noqa: DTZ011 -- the owner's day, as a calendar in the house shows it


def _show(value: object) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
