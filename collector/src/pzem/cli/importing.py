"""`pzem import-original`: the history of the original build guide."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final

from pzem import config as configuration
from pzem.cli.complaint import complain
from pzem.cli.progress import Progress
from pzem.config import Config, ConfigError, InfluxSettings
from pzem.errors import PzemError
from pzem.files import only_user
from pzem.history import ImportFailedError, backup
from pzem.history.importer import Importer, Passage, Patience, Plan, Report
from pzem.history.notes import Notes
from pzem.history.original import METERS
from pzem.history.source import Source
from pzem.history.target import Target
from pzem.influx import Influx, InfluxError
from pzem.levels import NS, house_zone
from pzem.systemd import set_up_logging

FILE: Final = "import-original.json"
"""In `state_dir`: how far the import is."""
LOCK: Final = "import-original.lock"
"""Beside it: in use while an import is under way. The folder itself is the collector's."""
REQUEST_S: Final = 90.0
"""The server ends a query after 60 s by itself; a write may wait for a busy card."""


def import_original(args: argparse.Namespace) -> int:
    """Bring the original's history into the database."""
    config = configuration.load(args.config or configuration.DEFAULT_PATH)
    set_up_logging(logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a terminal that goes, most often
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    prefixes = _prefixes(args, config)
    try:
        zone = house_zone(config.house.timezone)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    with _Command(args, config, zone, prefixes) as command, _alone(config.state_dir):
        return command.run()


class _Command:
    """One run of the command; closes what it has opened."""

    def __init__(
        self,
        args: argparse.Namespace,
        config: Config,
        zone: tzinfo,
        prefixes: Mapping[str, str],
    ) -> None:
        self._args = args
        self._config = config
        self._zone = zone
        self._prefixes = prefixes
        self._progress: tuple[str, Progress] | None = None
        self._ask = Patience(self._say)
        self._from = Influx(_source_settings(args, config), REQUEST_S, "ns")
        self._to = Influx(config.influxdb, REQUEST_S, "ns")

    def __enter__(self) -> _Command:
        return self

    def __exit__(self, *_: object) -> None:
        self._from.close()
        self._to.close()

    def run(self) -> int:
        notes = Notes(self._config.state_dir / FILE)
        identity = self._identity()
        if self._args.again:
            notes.save({})
        kept = notes.load()
        database = self._args.from_database or self._config.influxdb.database
        if self._args.backup is not None:
            if kept.get("identity") == identity and self._done(kept):
                complain("this backup is in the database already; --again begins anew")
                return 0
            if kept.get("identity") != identity or not backup.is_restored(self._from, self._ask):
                complain(f"restoring {self._args.backup} as {backup.DATABASE}")
                backup.restore(self._args.backup, database, self._from, self._ask, self._args.rpc)
            database = backup.DATABASE
        target = Target(self._to, self._config.influxdb.database, self._ask)
        source = Source(self._from, database, self._prefixes, self._ask)
        importer = Importer(
            source,
            target,
            self._zone,
            notes=notes,
            identity=identity,
            ask=self._ask,
            say=self._say,
            show=self._show,
        )
        plan = importer.begun()
        if plan is None:
            try:
                plan = self._plan(importer, source)
            except (KeyboardInterrupt, InfluxError):
                self._end_line()
                complain("nothing is written yet; the same command goes on where it stands")
                raise
            self._explain(plan, target)
            if self._args.backup is not None:
                complain(f"{backup.DATABASE} stays until all of it is written")
            if self._args.dry_run:
                self._print(Report(plan, Passage.of(plan.counted, self._zone), {}, complete=False))
                return 0
            if not self._args.yes and not _confirmed(
                f"Write this into {target.database} at {self._to.url}? [y/N] "
            ):
                complain("not confirmed; nothing was written")
                return 1
        else:
            stood = (
                "complete; what has come since is added"
                if self._done(kept)
                else "not complete; it goes on"
            )
            complain(f"the import of {plan.source} is {stood}")
        try:
            report = importer.carry_out(plan)
        except (KeyboardInterrupt, PzemError):
            self._end_line()
            complain("the import is not complete; the same command goes on where it stands")
            raise
        self._end_line()
        if self._args.backup is not None:
            backup.remove(self._from, self._ask)
        self._print(report)
        return 0

    def _identity(self) -> dict[str, Any]:
        """Return what makes two runs the same import."""
        return {
            "from": str(self._args.backup.resolve()) if self._args.backup else self._from.url,
            "from_database": self._args.from_database or self._config.influxdb.database,
            "to": self._to.url,
            "to_database": self._config.influxdb.database,
            "meters": dict(self._prefixes),
        }

    def _done(self, kept: Mapping[str, Any]) -> bool:
        return bool(kept.get("writing")) and (
            kept["writing"]["position_ns"] >= kept["plan"]["end_ns"]
        )

    def _plan(self, importer: Importer, source: Source) -> Plan:
        complain(f"{source.words}: {_when(source.first_ns)} to {_when(source.last_ns)}")
        evidence = importer.unit()
        self._end_line()
        unit = self._args.unit or evidence.unit
        if unit is None:
            raise ImportFailedError(
                f"the unit of WHRS cannot be told: {evidence.words}; say it with --unit"
            )
        if self._args.unit and evidence.unit not in (None, unit):
            complain(f"--unit {unit} stands against the evidence, which says {evidence.unit}")
        plan = importer.plan(unit, evidence.words)
        self._end_line()
        return plan

    def _explain(self, plan: Plan, target: Target) -> None:
        counted = Passage.of(plan.counted, self._zone)
        complain(f"unit of WHRS: {plan.unit}; {plan.evidence}")
        for prefix, meter in plan.prefixes.items():
            complain(_meter_words(prefix, meter, plan, counted))
        for prefix in self._prefixes.keys() - plan.prefixes.keys():
            complain(f"{prefix} as {self._prefixes[prefix]}: not in this history")
        for reason, count in counted.skipped.most_common():
            complain(f"left out: {count} ({reason})")
        raw_from_ns = target.levels.raw_from_ns(datetime.now(UTC).timestamp())
        coarser = ", ".join(target.levels.coarser)
        if raw_from_ns is not None and raw_from_ns > plan.first_ns:
            older = f"what is older than {_when(raw_from_ns)} goes"
            where = f"to {coarser} only" if coarser else "nowhere"
            complain(f"{target.levels.raw} does not reach back all the way: {older} {where}")
        if target.levels.lacking:
            complain(
                f"{target.database} has no retention policy {', '.join(target.levels.lacking)}: "
                "these levels are left out; ./appliance provision makes them, then import again "
                "with --again"
            )

    def _print(self, report: Report) -> None:
        document = _document(report)
        if self._args.json:
            print(json.dumps(document, indent=1))
            return
        verb = "written" if report.complete else "would be read"
        print(f"{report.passage.rows} rows from {document['from']} to {document['to']} {verb}")
        for prefix, meter in report.plan.prefixes.items():
            one = document["meters"][meter]
            print(f"{prefix} as {meter}: {one['readings']} readings, {one['kwh']:.3f} kWh")
        for level, count in report.written.items():
            print(f"{level}: {count} points")
        for reason, count in document["skipped"].items():
            print(f"left out: {count} ({reason})")
        if report.passage.refused:
            print(f"refused by the database: {report.passage.refused}")

    def _say(self, line: str) -> None:
        self._end_line()
        complain(line)

    def _show(self, what: str, share: float) -> None:
        if self._progress is None or self._progress[0] != what:
            self._end_line()
            self._progress = (what, Progress(what))
        self._progress[1].show(share)

    def _end_line(self) -> None:
        if self._progress is not None:
            self._progress[1].end()
            self._progress = None


def _meter_words(prefix: str, meter: str, plan: Plan, counted: Passage) -> str:
    register = counted.registers.get(prefix)
    if register is None:
        return f"{prefix} as {meter}: no reading"
    base_wh = plan.base_wh[prefix]
    words = (
        f"{prefix} as {meter}: {counted.read[prefix]} readings, {_kwh(register.grown_wh)}, "
        f"{register.resets} resets of the register; lifetime from {_kwh(max(0.0, base_wh))} "
        f"to {_kwh(base_wh + register.grown_wh)}"
    )
    if register.uncounted:
        words += f"; {register.uncounted} steps of the register cannot be true, not counted"
    if base_wh < 0:
        words += (
            f"; the first {_kwh(-base_wh)} get no lifetime_wh: it would lie below zero, for the "
            f"live readings count from {_kwh(base_wh + register.grown_wh)} on"
        )
    return words


def _document(report: Report) -> dict[str, Any]:
    plan, passage = report.plan, report.passage
    meters = {}
    for prefix, meter in plan.prefixes.items():
        register = passage.registers.get(prefix)
        grown_wh = register.grown_wh if register else 0.0
        meters[meter] = {
            "original": prefix,
            "readings": passage.read[prefix],
            "kwh": round(grown_wh / 1000, 3),
            "resets": register.resets if register else 0,
            "steps_not_counted": register.uncounted if register else 0,
            "lifetime_wh_first": plan.base_wh[prefix],
            "lifetime_wh_last": round(plan.base_wh[prefix] + grown_wh, 3),
            "without_lifetime_wh": passage.no_lifetime[prefix],
        }
    return {
        "source": plan.source,
        "unit": plan.unit,
        "evidence": plan.evidence,
        "from": _when(plan.first_ns),
        "to": _when(max(plan.first_ns, passage.position_ns - 1)),
        "rows": passage.rows,
        "meters": meters,
        "skipped": dict(passage.skipped.most_common()),
        "written": dict(report.written),
        "refused": passage.refused,
        "complete": report.complete,
    }


def _prefixes(args: argparse.Namespace, config: Config) -> dict[str, str]:
    """Return the original's meters that are wanted, and what they are called here."""
    chosen = dict(args.map)
    names = [meter.name for meter in config.meters]
    twice = [name for name in chosen.values() if name and list(chosen.values()).count(name) > 1]
    for name in chosen.values():
        if name and name not in names:
            raise ConfigError([f"no meter is called {name}; there are {', '.join(names)}"])
    if twice:
        raise ConfigError([f"two meters of the original would become {twice[0]}"])
    wanted = {**{p: m for p, m in METERS.items() if m in names}, **chosen}
    wanted = {
        prefix: meter
        for prefix, meter in wanted.items()
        if meter and (prefix in chosen or meter not in chosen.values())
    }
    if not wanted:
        raise ConfigError(
            [f"no meter is called {', '.join(METERS.values())}; say with --map what they are"]
        )
    return {prefix: wanted[prefix] for prefix in METERS if prefix in wanted}


def _source_settings(args: argparse.Namespace, config: Config) -> InfluxSettings:
    own = config.influxdb
    url = args.from_url or own.url
    if args.from_username or args.from_password_file:
        return InfluxSettings(
            url,
            args.from_database or own.database,
            args.from_username or own.username,
            args.from_password_file,
        )
    if url != own.url:  # the password of one server is no other's business
        return InfluxSettings(url, args.from_database or own.database, own.username, None)
    return dataclasses.replace(own, database=args.from_database or own.database)


@contextlib.contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Keep a second import out; raises `ImportFailedError` if one is under way."""
    state_dir.mkdir(parents=True, exist_ok=True)
    lock = state_dir / LOCK
    lock.touch(mode=0o600)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(only_user(lock))
        except BlockingIOError as error:
            raise ImportFailedError("another import is under way") from error
        yield


def _when(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _kwh(energy_wh: float) -> str:
    return f"{energy_wh / 1000:.3f} kWh"


def _confirmed(question: str) -> bool:
    try:
        print(question, end="", file=sys.stderr, flush=True)
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        print(file=sys.stderr)
        return False
