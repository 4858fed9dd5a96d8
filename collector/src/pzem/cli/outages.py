"""`pzem outages`: what the ledger of outages holds."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pzem import config as configuration
from pzem.cli import table
from pzem.cli.complaint import complain
from pzem.config import Config, ConfigError
from pzem.house.outages import STATE_FILE
from pzem.house.records import MEASUREMENT, NOTHING, OUTAGE, PI_OFF, Dating, Record, record_of
from pzem.house.watch import moment_of
from pzem.influx import Influx, InfluxError

ASK_S: Final = 10.0
"""How long the database may take to answer."""
QUERY: Final = f"SELECT * FROM {MEASUREMENT} WHERE kind = '{OUTAGE}' OR kind = '{PI_OFF}'"  # noqa: S608 - constants

HEADS: Final = (
    "what",
    "began",
    "until",
    "lasted",
    "generator",
    "ran",
    "kWh",
    "peak W",
    "peak VA",
    "remarks",
)
WORD_COLUMNS: Final = 6
COLUMNS: Final = (
    "began_at",
    "until",
    "seconds",
    "open",
    "lost",
    "evidence",
    "generator_at",
    "generator_wh",
    "peak_watts",
    "peak_volt_amps",
    "running_s",
    "pi_off_count",
    "pi_off_s",
    "pi_off_from",
    "pi_off_to",
    "clean",
    "cause",
    "not_before",
    "not_after",
    "back_not_before",
    "back_not_after",
    "utility_at",
    "clock_set_s",
    "estimated",
    "provisional",
)
"""Of the CSV, after `kind`; names as in the database, but `until` is the end of either kind."""
_TIMES: Final = ("_at", "not_before", "not_after", "pi_off_from", "pi_off_to", "until")
_END: Final = {OUTAGE: "back_at", PI_OFF: "ended_at"}


@dataclass(frozen=True)
class Shown:
    """One record as it is shown."""

    kind: str
    time: int | None
    """Of its point in the database, unix s; None if it has none yet."""
    fields: Mapping[str, float | str]
    is_left_open: bool = False
    """It is open in the database, but the collector knows nothing of it any more."""
    estimated: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        words = str(self.fields.get("estimated", NOTHING))
        object.__setattr__(self, "estimated", frozenset(words.split()) - {NOTHING})

    @property
    def began(self) -> float:
        """Return when it began, unix s."""
        return float(self.fields["began_at"])

    @property
    def end_name(self) -> str:
        """Return the field that tells its end."""
        return _END[self.kind]


def outages(args: argparse.Namespace) -> int:
    """Print every outage and every absence of the Pi."""
    config = configuration.load(args.config or configuration.DEFAULT_PATH)
    zone = _zone(config)
    state_file = config.state_dir / STATE_FILE
    kept = _kept(state_file, config.interval_s)
    try:
        with contextlib.closing(Influx(config.influxdb, ASK_S)) as influx:
            stored = [_stored(row) for row in influx.query(QUERY)]
    except InfluxError as error:
        if kept is None:
            complain(f"the database cannot be asked: {error}; and {state_file} tells nothing")
            return 1
        complain(
            f"the database cannot be asked: {error}; these are the last records, of {state_file}"
        )
        stored = []
    found = _joined(stored, kept)
    if args.json:
        print(json.dumps([_json(one, zone) for one in found], indent=2))
    elif args.csv:
        _print_csv(found, zone)
    elif found:
        for line in table.layout(HEADS, [_row(one, zone) for one in found], words=WORD_COLUMNS):
            print(line)
        if any(one.estimated for one in found):
            print("~ is an estimate; --json tells between which times it lies")
    else:
        print("no outage is recorded")
    return 0


def duration(seconds: float) -> str:
    """Return a time in words: its two largest units."""
    rest = round(seconds)
    parts = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def _zone(config: Config) -> tzinfo | None:
    """Return the house's time zone; None is the system's."""
    name = config.house.timezone
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            [f"house.timezone: {name} is not a known time zone; write it like Europe/Berlin"]
        ) from error


def _stored(row: Mapping[str, Any]) -> Shown:
    fields = {
        name: value
        for name, value in row.items()
        if value is not None and name not in {"time", "kind", "meter"}
    }
    fields.setdefault("began_at", float(row["time"]))
    return Shown(str(row["kind"]), int(row["time"]), fields)


def _kept(file: Path, interval_s: int) -> list[Shown] | None:
    """Return the records of the collector's own file, or None if there is none to be read.

    What waits for the time is shown at the time that the clock showed.
    """
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        dating = Dating(moment_of(kept["alive"]).boot_id, interval_s)
        records = [record_of(record) for record in kept["records"]]
        return [_shown(record, dating) for record in records if record.kind in _END]
    except PermissionError:
        raise  # an answer without what the file knows would be another one
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _shown(record: Record, dating: Dating) -> Shown:
    fields = record.fields(dating) or record.fields(Dating("", dating.interval_s))
    assert fields is not None  # without a present boot nothing is waited for
    return Shown(record.kind, record.stamp, fields)


def _joined(stored: Sequence[Shown], kept: Sequence[Shown] | None) -> list[Shown]:
    """Join both, in order of time; the file knows more of what it holds."""
    own = {(one.kind, one.time): one for one in kept or () if one.time is not None}
    found = [one for one in kept or () if one.time is None]
    found += own.values()
    for one in stored:
        if (one.kind, one.time) in own:
            continue
        is_left = kept is not None and bool(one.fields.get("open"))
        found.append(Shown(one.kind, one.time, one.fields, is_left))
    return sorted(found, key=lambda one: one.began)


def _local(unix_s: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC).astimezone(zone)


def _is_time(name: str) -> bool:
    return name.endswith(_TIMES)


def _json(one: Shown, zone: tzinfo | None) -> dict[str, Any]:
    times = {
        name: _local(float(value), zone).isoformat()
        for name, value in one.fields.items()
        if _is_time(name)
    }
    return {
        "kind": one.kind,
        "time": _local(one.time, zone).isoformat() if one.time is not None else None,
        "left_open": one.is_left_open,
        "times": times,
        "fields": dict(one.fields),
    }


def _print_csv(found: Sequence[Shown], zone: tzinfo | None) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("kind", *COLUMNS))
    for one in found:
        fields = {**one.fields, "until": one.fields.get(one.end_name)}
        cells = []
        for name in COLUMNS:
            value = fields.get(name)
            if value is not None and _is_time(name):
                value = _local(float(value), zone).isoformat()
            cells.append("" if value is None else value)
        writer.writerow((one.kind, *cells))
    print(text.getvalue(), end="")


def _row(one: Shown, zone: tzinfo | None) -> list[str]:
    fields = one.fields

    def cell(name: str, text: str | None) -> str:
        if text is None:
            return table.NOTHING
        return f"~{text}" if name in one.estimated else text

    def at(name: str) -> str:
        value = fields.get(name)
        return cell(name, f"{_local(float(value), zone):%Y-%m-%d %H:%M:%S %Z}" if value else None)

    def figure(name: str, scale: float, decimals: int) -> str:
        value = fields.get(name)
        text = f"{float(value) / scale:.{decimals}f}" if value is not None else None
        return cell(name, text)

    def lasted(name: str) -> str:
        value = fields.get(name)
        return cell(name, duration(float(value)) if value is not None else None)

    until = at(one.end_name)
    if one.is_left_open:
        until = "not recorded"
    elif fields.get("open"):
        until = "goes on"
    return [
        str(fields.get("lost", fields.get("evidence", "outage")))
        if one.kind == OUTAGE
        else "Pi off",
        at("began_at"),
        until,
        lasted("seconds"),
        at("generator_at"),
        lasted("running_s"),
        figure("generator_wh", 1000.0, 3),
        figure("peak_watts", 1.0, 0),
        figure("peak_volt_amps", 1.0, 0),
        _remarks(one),
    ]


def _remarks(one: Shown) -> str:
    fields = one.fields
    remarks = []
    if one.kind == PI_OFF:
        remarks.append(f"cause: {fields.get('cause', 'unknown')}")
    elif "lost" in fields:
        remarks.append(f"by {fields['evidence']}")
    else:
        remarks.append("whether the utility failed, or was switched off by hand, is not known")
    if "pi_off_s" in fields:
        mark = "~" if "pi_off_s" in one.estimated else ""
        remarks.append(f"Pi off for {mark}{duration(float(fields['pi_off_s']))} of it")
    if "clock_set_s" in fields:
        remarks.append("the clock was set meanwhile")
    if fields.get("provisional"):
        remarks.append("the time is not known yet" if one.time is None else "time never known")
    return "; ".join(remarks)
