"""The state of the running collector, in a file that everybody on the machine may read.

`StatusFile` writes `runtime_dir/status.json` once a cycle: in memory (/run), not on the
card, so that it costs no write there and nothing is to be flushed; renamed into place, so
that who reads it sees a whole one. `read` is the other side, and `complaints` says what
is not well about it.

The document, version `SCHEMA`. Each `…_unix_s` is in whole seconds since 1970 by the clock
as it was when the document was written (`written.is_true` tells whether that is known to
be right), worked out from the monotonic clock: once the time is known, all of them are
right. What is not known is null; nothing is left out.

    schema          int     this version; another one means another layout
    version, pid            of the collector
    interval_s      int     seconds between two slots
    written         {unix_s, is_true, monotonic_s, boot_id}: the slot of the last cycle
    started_unix_s  int
    clock           {state, since_unix_s}; state: "true", "waiting" (kept until the time is
                    known) or "provisional" (the same, and shown meanwhile)
    meters          [{name, address, supply, fed_from, port, state, reason, since_unix_s,
                    last, lifetime_wh, estimated}]; state: "ok", "silent" or "faulty";
                    last: {at_unix_s, and the fields of a `meter` point}
    ports           [{path, trouble}]
    house           {supply, watts, volt_amps}; supply: "utility", "generator", "both", "none"
    spool           {blocks, undated, bytes, oldest_unix_s, lost, trouble}
    database        {last_write_unix_s, trouble, stored}; stored: unix_s of the last slots that
                    InfluxDB has acknowledged, the newest last, a minute of them at most
    alarms          [{kind, meter, cause, since_unix_s}], the active ones; meter "": the house
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pzem import __version__
from pzem.announcer import SURE_AFTER_CYCLES
from pzem.config import OWN_SUPPLY, Config
from pzem.errors import PzemError, why
from pzem.files import read_small
from pzem.health import Health
from pzem.meter import NO_ANSWER, Outcome
from pzem.moment import Moment
from pzem.points import meter_fields
from pzem.registers import Reading

SCHEMA: Final = 1
FILE_NAME: Final = "status.json"
MAX_BYTES: Final = 2**20
"""More than the status of as many meters as there are addresses."""
OLD_CYCLES: Final = 3
OLD_S: Final = 20.0
"""A status is old after this many cycles and as many seconds: a port that hangs makes one
cycle late, and a machine that is busy some more."""
NO_WRITE_S: Final = 60.0
"""So long InfluxDB may be away before that is not well: it restarts within this time."""
WAIT_S: Final = 600.0
"""So long a Pi may look for the time after a boot before that is not well."""
STORED_S: Final = 60
"""How far back the slots go that are shown as stored."""

TRUE: Final = "true"
WAITING: Final = "waiting"
PROVISIONAL: Final = "provisional"

UTILITY_LOST: Final = "utility_lost"
ORDINARY_ALARMS: Final = frozenset({UTILITY_LOST, "generator_running"})
"""They tell what goes on in the house, and nothing that is to be mended."""

log = logging.getLogger(__name__)


class StatusError(PzemError):
    """There is no status to be read; the message says why."""


class Depth(Protocol):
    """What waits in the spool (`pzem.spool`)."""

    @property
    def blocks(self) -> int: ...  # noqa: D102
    @property
    def undated(self) -> int: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102
    @property
    def oldest_s(self) -> int | None: ...  # noqa: D102
    @property
    def lost(self) -> int: ...  # noqa: D102
    @property
    def trouble(self) -> str | None: ...  # noqa: D102


class Alarm(Protocol):
    """One alarm and whether it is active (`pzem.house`)."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def meter(self) -> str: ...  # noqa: D102
    @property
    def active(self) -> bool: ...  # noqa: D102
    @property
    def cause(self) -> str: ...  # noqa: D102


class Energy(Protocol):
    """Lifetime energy of one meter (`pzem.house`)."""

    @property
    def lifetime_wh(self) -> float | None: ...  # noqa: D102
    @property
    def estimated(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Database:
    """How the deliveries to InfluxDB go."""

    last_write_s: float | None = None
    """Monotonic seconds of the last write that was acknowledged; None: none since the start."""
    trouble: str | None = None
    """Why the last request was not stored; None: it was."""
    stored: Sequence[int] = ()
    """The last slots that were acknowledged, in unix seconds."""


@dataclass(frozen=True, slots=True)
class Now:
    """What one cycle has to tell; the parts are as the collector's own hand them out."""

    moment: Moment
    clock: str
    """`TRUE`, `WAITING` or `PROVISIONAL`."""
    outcomes: Mapping[str, Outcome]
    homes: Mapping[str, str | None]
    """Where each meter was heard last: name to port."""
    ports: Mapping[str, str | None]
    """Path to what is wrong with it, of each port that is there."""
    supply: str | None
    watts: float | None
    volt_amps: float | None
    energies: Mapping[str, Energy]
    spool: Depth
    database: Database
    alarms: Sequence[Alarm] = ()


class StatusFile:
    """Writes the status, and remembers since when what it tells has been so.

    A folder that cannot be written is said once, until it can again; the collector
    goes on without.
    """

    def __init__(self, config: Config, started: Moment) -> None:
        self._config = config
        self._started = started
        self._file = config.runtime_dir / FILE_NAME
        self._health = Health()
        self._last: dict[str, tuple[Reading, float]] = {}
        """Each meter's last reading, and its monotonic second."""
        self._alarms: dict[tuple[str, str], float] = {}
        self._clock: tuple[str, float] | None = None
        self._said = False

    def write(self, now: Now) -> bool:
        """Replace the status by that of `now`; return whether that worked."""
        text = json.dumps(self._document(now), ensure_ascii=False, indent=1)
        try:
            _replace(self._file, text.encode())
        except OSError as error:
            if not self._said:
                self._said = True
                log.warning(
                    "%s cannot be written: %s; pzem status has nothing to show",
                    self._file,
                    error.strerror,
                )
            return False
        if self._said:
            self._said = False
            log.info("%s can be written again", self._file)
        return True

    def close(self) -> None:
        """Take the status away: nobody is to believe that the service still runs."""
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed: %s", self._file, error.strerror)

    def _document(self, now: Now) -> dict[str, Any]:
        at_s = now.moment.monotonic_s
        offset_s = now.moment.unix_s - at_s

        def unix(monotonic_s: float) -> int:
            return round(monotonic_s + offset_s)

        if self._clock is None or self._clock[0] != now.clock:
            self._clock = (now.clock, at_s)
        last_write_s = now.database.last_write_s
        return {
            "schema": SCHEMA,
            "version": __version__,
            "pid": os.getpid(),
            "interval_s": self._config.interval_s,
            "written": {
                "unix_s": now.moment.unix_s,
                "is_true": now.moment.is_true,
                "monotonic_s": at_s,
                "boot_id": now.moment.boot_id,
            },
            "started_unix_s": unix(self._started.monotonic_s),
            "clock": {"state": now.clock, "since_unix_s": unix(self._clock[1])},
            "meters": self._meters_of(now, offset_s),
            "ports": [
                {"path": path, "trouble": trouble} for path, trouble in sorted(now.ports.items())
            ],
            "house": {"supply": now.supply, "watts": now.watts, "volt_amps": now.volt_amps},
            "spool": {
                "blocks": now.spool.blocks,
                "undated": now.spool.undated,
                "bytes": now.spool.bytes,
                "oldest_unix_s": now.spool.oldest_s,
                "lost": now.spool.lost,
                "trouble": now.spool.trouble,
            },
            "database": {
                "last_write_unix_s": None if last_write_s is None else unix(last_write_s),
                "trouble": now.database.trouble,
                "stored": sorted(now.database.stored)[-(STORED_S // self._config.interval_s) :],
            },
            "alarms": [
                {
                    "kind": alarm.kind,
                    "meter": alarm.meter,
                    "cause": alarm.cause,
                    "since_unix_s": unix(since_s),
                }
                for alarm, since_s in self._active(now.alarms, at_s)
            ],
        }

    def _meters_of(self, now: Now, offset_s: float) -> list[dict[str, Any]]:
        health = self._health.take(now.moment, now.outcomes)
        told = []
        for meter in self._config.meters:
            outcome = now.outcomes[meter.name]
            if isinstance(outcome, Reading):
                self._last[meter.name] = outcome, now.moment.monotonic_s
            last = None
            if meter.name in self._last:
                reading, last_s = self._last[meter.name]
                last = {"at_unix_s": round(last_s + offset_s), **meter_fields(reading)}
            how = health[meter.name]
            energy = now.energies.get(meter.name)
            told.append(
                {
                    "name": meter.name,
                    "address": meter.address,
                    "supply": meter.supply,
                    "fed_from": meter.fed_from,
                    "port": now.homes.get(meter.name),
                    "state": how.state,
                    "reason": how.reason or None,
                    "since_unix_s": round(how.since.monotonic_s + offset_s),
                    "last": last,
                    "lifetime_wh": energy.lifetime_wh if energy is not None else None,
                    "estimated": energy.estimated if energy is not None else None,
                }
            )
        return told

    def _active(self, alarms: Sequence[Alarm], at_s: float) -> list[tuple[Alarm, float]]:
        active = [alarm for alarm in alarms if alarm.active]
        since = {(alarm.kind, alarm.meter): at_s for alarm in active}
        self._alarms = {key: self._alarms.get(key, at_s) for key in since}
        return [(alarm, self._alarms[alarm.kind, alarm.meter]) for alarm in active]


def read(folder: Path) -> dict[str, Any]:
    """Return the status that was last written to `folder`.

    Raises `StatusError` if there is none, or none that this version understands.
    """
    file = folder / FILE_NAME
    try:
        document = json.loads(read_small(file, MAX_BYTES))
        json.dumps(document, allow_nan=False)
    except FileNotFoundError as error:
        raise StatusError(
            f"the collector is not running, or has started just now: there is no {file} "
            "(systemctl start pzem; journalctl -u pzem says why it ended)"
        ) from error
    except OSError as error:
        raise StatusError(f"{file} cannot be read: {why(error)}") from error
    except (ValueError, RecursionError) as error:
        raise not_a_status(folder) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise StatusError(
            f"{file} was written by another version of the collector, schema {schema} "
            "(systemctl restart pzem)"
        )
    return dict(document)


def not_a_status(folder: Path) -> StatusError:
    """Return what to raise where the status in `folder` holds something else than its schema."""
    return StatusError(f"{folder / FILE_NAME} is not a status (systemctl restart pzem)")


def age_s(document: Mapping[str, Any], boot_id: str, monotonic_s: float) -> float | None:
    """Return how old a status is, in s; None: it is of an earlier boot."""
    written = document["written"]
    if written["boot_id"] != boot_id:
        return None
    return max(0.0, monotonic_s - float(written["monotonic_s"]))


def is_old(document: Mapping[str, Any], age_s: float | None) -> bool:
    """Tell whether a status of that age is no longer that of a collector at work."""
    return age_s is None or age_s > max(OLD_S, OLD_CYCLES * document["interval_s"])


def complaints(document: Mapping[str, Any]) -> list[str]:
    """Return what is not well with the monitor and has to be looked at, one line each.

    The house's own business is not: that the utility is lost, that the generator runs.
    Nor is what follows from it or passes by itself: a generator's meter that is fed by
    the generator alone and silent while that stands still; a dead panel's meters in an
    outage; a hiccup of less than `SURE_AFTER_CYCLES` cycles; a database that is away for
    less than `NO_WRITE_S`, a clock that is not known for less than `WAIT_S`.
    """
    written_s = document["written"]["unix_s"]
    lines = [_of_meter(document, meter) for meter in document["meters"]]
    clock = document["clock"]
    if clock["state"] == PROVISIONAL or (
        clock["state"] == WAITING and written_s - clock["since_unix_s"] >= WAIT_S
    ):
        lines.append("the time is not known; readings are kept until it is")
    database = document["database"]
    last_write_s = database["last_write_unix_s"] or document["started_unix_s"]
    if database["trouble"] is not None and written_s - last_write_s >= NO_WRITE_S:
        lines.append(f"InfluxDB takes no data: {database['trouble']}")
    spool = document["spool"]
    if spool["trouble"] is not None:
        lines.append(f"the card: {spool['trouble']}")
    if spool["lost"]:
        lines.append(f"{spool['lost']} cycles were lost while there was no room for them")
    lines += [
        f"{_named(alarm)}: {alarm['cause']}"
        for alarm in document["alarms"]
        if alarm["kind"] not in ORDINARY_ALARMS and not _is_said(alarm, document)
    ]
    return [line for line in lines if line is not None]


def _of_meter(document: Mapping[str, Any], meter: Mapping[str, Any]) -> str | None:
    lasted_s = document["written"]["unix_s"] - meter["since_unix_s"]
    sure = lasted_s >= (SURE_AFTER_CYCLES - 1) * document["interval_s"]
    if meter["state"] == "ok" or not sure or _is_normal(document, meter):
        return None
    return f"{meter['name']} is {meter['state']} ({meter['reason']})"


def _is_normal(document: Mapping[str, Any], meter: Mapping[str, Any]) -> bool:
    """Tell whether a meter's silence is what its wiring lets expect now."""

    def is_mute(other: Mapping[str, Any]) -> bool:
        return bool(other["state"] == "silent" and other["reason"] == NO_ANSWER)

    own = meter["fed_from"] == OWN_SUPPLY
    if not is_mute(meter):
        return False
    if own and meter["supply"] == "generator":
        return True
    together = [m for m in document["meters"] if m["fed_from"] == meter["fed_from"]]
    outage = any(alarm["kind"] == UTILITY_LOST for alarm in document["alarms"])
    return outage and (own or all(map(is_mute, together)))


def _is_said(alarm: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Tell whether a complaint about the meter itself says the same."""
    return alarm["kind"] in ("meter_silent", "meter_faulty") and any(
        meter["name"] == alarm["meter"] and _of_meter(document, meter) is not None
        for meter in document["meters"]
    )


def _named(alarm: Mapping[str, Any]) -> str:
    kind = alarm["kind"].replace("_", " ")
    return f"{kind} ({alarm['meter']})" if alarm["meter"] else kind


def _replace(file: Path, content: bytes) -> None:
    """Put `content` in place of `file`, readable for all. Nothing is flushed: it is memory."""
    if not file.parent.is_dir():
        file.parent.mkdir()
        file.parent.chmod(0o755)  # whatever the umask
    fresh = file.with_name(f"{file.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(fresh, flags, 0o644)
    try:
        os.fchmod(descriptor, 0o644)
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    fresh.replace(file)
