"""The original's history, out of one real InfluxDB into another database of it."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pzem import config as configuration
from pzem.cli import main
from pzem.cli.importing import FILE, LOCK
from pzem.config import InfluxSettings
from pzem.files import only_user
from pzem.history import backup as restoring
from pzem.history.importer import Importer, Patience
from pzem.history.target import Target
from pzem.influx import Influx, Verdict
from pzem.kept import KeptFile
from pzem.testing.influxd import Influxd, find_influxd
from pzem.testing.original import OriginalHistory

NS = 1_000_000_000
HOUR_S = 3600
DAY_S = 86_400
NOW_S = int(time.time())
RECENT_S = NOW_S // DAY_S * DAY_S - 3 * DAY_S
"""Well within the raw level of `levels`."""
LEVELS = {"raw": "7d", "m1": "INF", "h1": "INF", "d1": "INF"}

_numbers = itertools.count()


class Place:
    """A source and a target database of one server, and the command between them."""

    def __init__(self, server: Influxd, folder: Path) -> None:
        number = next(_numbers)
        self.server = server
        self.folder = folder
        self.old, self.new = f"old{number}", f"new{number}"
        for database in (self.old, self.new):
            server.query(f"CREATE DATABASE {database}")
        folder.mkdir(exist_ok=True)
        self.config = folder / "pzem.toml"
        self.configure()

    def configure(self, meters: Sequence[str] = ("mainA", "mainB", "gen")) -> None:
        tables = "".join(
            f'[[meters]]\nname = "{name}"\naddress = {4 + number}\nsupply = "utility"\n'
            for number, name in enumerate(meters)
        )
        self.config.write_text(
            f'state_dir = "{self.folder}/state"\n[influxdb]\nurl = "{self.server.url}"\n'
            f'database = "{self.new}"\n{tables}'
        )

    def make_levels(self, raw: str = "7d") -> None:
        for name, duration in {**LEVELS, "raw": raw}.items():
            default = " DEFAULT" if name == "raw" else ""
            self.server.query(
                f"CREATE RETENTION POLICY {name} ON {self.new} DURATION {duration} "
                f"REPLICATION 1{default}"
            )

    def store(self, lines: Iterable[str], database: str = "", policy: str = "") -> None:
        writer = Influx(InfluxSettings(self.server.url, database or self.old), precision="ns")
        for some in batches(lines):
            assert writer.write(some, policy) is Verdict.STORED
        writer.close()

    def run(self, *options: str) -> int:
        given = ["--config", str(self.config), "--from-database", self.old, *options]
        return main(["import-original", *given])

    def stored(
        self, measurement: str = "meter", policy: str = "raw", database: str = ""
    ) -> list[dict[str, Any]]:
        reader = Influx(InfluxSettings(self.server.url, database or self.new), precision="ns")
        rows = reader.query(f"SELECT * FROM {policy}.{measurement}")
        reader.close()
        return rows

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        return {
            f"{policy}.{measurement}": self.stored(measurement, policy)
            for policy in LEVELS
            for measurement in ("meter", "host")
        }


def batches(lines: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(lines)
    while some := list(itertools.islice(iterator, 5000)):
        yield some


@pytest.fixture
def place(influxd: Influxd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr("pzem.history.importer.PAUSE_SHARE", 0.0)
    place = Place(influxd, tmp_path)
    yield place
    for database in (place.old, place.new):
        influxd.query(f"DROP DATABASE {database}")


def of(rows: Iterable[dict[str, Any]], meter: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["meter"] == meter]


def live(time_s: int, energy_wh: float, lifetime_wh: float | None, meter: str = "mainA") -> str:
    lifetime = "" if lifetime_wh is None else f",lifetime_wh={lifetime_wh}"
    return (
        f"meter,meter={meter} volts=120.0,watts=99.0,hertz=60.0,energy_wh={energy_wh}{lifetime} "
        f"{time_s * NS}"
    )


def test_readings_keep_their_times_and_values(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.make_levels()
    history = OriginalHistory(RECENT_S, 3 * HOUR_S, on_generator=((HOUR_S, 1.5 * HOUR_S),))
    place.store(history.lines())
    assert place.run("--yes", "--json") == 0
    report = json.loads(capsys.readouterr().out)

    posts = dict(history.rows())
    stored = {meter: of(place.stored(), meter) for meter in ("mainA", "mainB", "gen")}
    for prefix, meter in (("MAIN-A", "mainA"), ("MAIN-B", "mainB"), ("GEN", "gen")):
        expected = {t: post for t, post in posts.items() if f"{prefix}_VOLT" in post}
        assert [row["time"] for row in stored[meter]] == sorted(expected)
        for row in stored[meter]:
            post = expected[row["time"]]
            volts, amps = post[f"{prefix}_VOLT"], post[f"{prefix}_AMPS"]
            assert row == {
                "time": row["time"],
                "meter": meter,
                "volts": volts,
                "amps": amps,
                "watts": post[f"{prefix}_WATT"],
                "volt_amps": round(volts * amps, 4),  # type: ignore[operator]
                "power_factor": post[f"{prefix}_PZPF"],
                "energy_wh": post[f"{prefix}_WHRS"],
                "lifetime_wh": post[f"{prefix}_WHRS"],
            }
    assert [(row["time"], row["cpu_celsius"]) for row in place.stored("host")] == [
        (time_ns, post["T_cpu"]) for time_ns, post in posts.items()
    ]
    assert report["unit"] == "Wh"
    assert report["skipped"] == {}
    assert report["complete"] is True
    assert report["written"]["raw"] == sum(map(len, stored.values())) + len(posts)
    for meter, rows in stored.items():
        used_wh = rows[-1]["energy_wh"] - rows[0]["energy_wh"]
        assert report["meters"][meter]["kwh"] == pytest.approx(used_wh / 1000)
        assert report["meters"][meter]["readings"] == len(rows)


def test_kilowatt_hours_become_watt_hours(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.make_levels()
    history = OriginalHistory(RECENT_S, 6 * HOUR_S, count_wh=1000.0, decimals=2)
    place.store(history.lines())
    assert place.run("--yes", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["unit"] == "kWh"
    assert "unit of WHRS: kWh" in printed.err
    counts = [post["MAIN-A_WHRS"] for _, post in history.rows()]
    energies = [row["energy_wh"] for row in of(place.stored(), "mainA")]
    assert energies == [round(1000 * count, 3) for count in counts]  # type: ignore[operator]
    assert energies[-1] > 1000


def test_what_the_raw_level_no_longer_holds_goes_to_the_coarser_ones(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.make_levels()
    old_s = NOW_S // DAY_S * DAY_S - 30 * DAY_S
    place.configure(["mainA", "mainB"])
    history = OriginalHistory(old_s, 2 * DAY_S)
    place.store(history.lines())
    assert place.run("--yes", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert place.stored() == []
    assert report["written"]["raw"] == 0

    posts = [(t, post) for t, post in history.rows() if "MAIN-A_VOLT" in post]
    for level, length_s in (("m1", 60), ("h1", HOUR_S)):
        buckets: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for time_ns, post in posts:
            buckets[time_ns // NS // length_s * length_s].append(post)
        rows = of(place.stored(policy=level), "mainA")
        assert [row["time"] // NS for row in rows] == sorted(buckets)
        for row in rows:
            bucket = buckets[row["time"] // NS]
            watts = [post["MAIN-A_WATT"] for post in bucket]
            volt_amps = [post["MAIN-A_VOLT"] * post["MAIN-A_AMPS"] for post in bucket]
            assert row["watts"] == pytest.approx(sum(watts) / len(watts))
            assert (row["watts_min"], row["watts_max"]) == (min(watts), max(watts))
            assert row["power_factor"] == pytest.approx(sum(watts) / sum(volt_amps))
            assert row["energy_wh"] == bucket[-1]["MAIN-A_WHRS"]
            assert row["lifetime_wh"] == bucket[-1]["MAIN-A_WHRS"]
    assert len(of(place.stored(policy="d1"), "mainA")) in (2, 3)  # the machine's own time zone
    for level in ("h1", "d1"):
        assert len(place.stored("host", level)) == len(place.stored(policy=level)) / 2


def test_the_raw_level_gets_what_it_can_hold_and_the_coarser_ones_everything(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.make_levels(raw="4d")
    history = OriginalHistory(NOW_S - 4 * DAY_S, 1.5 * DAY_S)
    place.store(history.lines())
    before_s = int(time.time())
    assert place.run("--yes") == 0
    after_s = int(time.time()) + 1
    assert "raw does not reach back all the way" in capsys.readouterr().err
    times = [time_ns for time_ns, _ in history.rows()]
    stored = [row["time"] for row in of(place.stored(), "mainA")]
    assert stored == [time_ns for time_ns in times if time_ns >= stored[0]]
    missing = [time_ns for time_ns in times if time_ns < stored[0]]
    assert missing[-1] < (after_s - 3 * DAY_S) * NS
    assert stored[0] >= (before_s - 3 * DAY_S) * NS
    minutes = [row["time"] // NS for row in of(place.stored(policy="m1"), "mainA")]
    assert minutes == sorted({time_ns // NS // 60 * 60 for time_ns in times})


def test_points_that_the_database_never_takes_are_counted(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.make_levels()
    history = OriginalHistory(RECENT_S, 3 * HOUR_S)
    place.store(history.lines())
    place.store([f'host cpu_celsius="warm" {RECENT_S * NS}'], place.new, "raw")
    assert place.run("--yes") == 0
    printed = capsys.readouterr()
    posts = len(list(history.rows()))
    assert f"refused by the database: {posts}" in printed.out
    assert printed.err.count("the database refuses points for good: partial write") == 1
    assert len(place.stored()) == 2 * posts


def test_what_cannot_be_true_is_left_out_and_counted(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.make_levels()
    history = OriginalHistory(
        RECENT_S,
        3 * HOUR_S,
        zeros=(("MAIN-B", 600, 1200),),
        alter={
            100: {"MAIN-A_VOLT": 2650.0},
            101: {"MAIN-A_WATT": 21_000.0},
            102: {"MAIN-A_WHRS": 9_000_000.0},
            103: {"T_cpu": 900.0},
        },
    )
    place.store(history.lines())
    assert place.run("--yes", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    posts = list(history.rows())
    zeros = sum(post["MAIN-B_VOLT"] == 0 for _, post in posts)
    assert zeros > 100
    assert report["skipped"] == {
        "zero volts, so nothing was measured": zeros,
        "volts out of range": 1,
        "watts do not fit volts, amps and power factor": 1,
        "energy leapt for one reading": 1,
        "CPU temperature out of range": 1,
    }
    left_out = {posts[number][0] for number in (100, 101, 102)}
    stored = {row["time"] for row in of(place.stored(), "mainA")}
    assert stored == {time_ns for time_ns, _ in posts} - left_out
    assert len(of(place.stored(), "mainB")) == len(posts) - zeros
    assert len(place.stored("host")) == len(posts) - 1


class TestLifetime:
    HISTORY = OriginalHistory(
        RECENT_S,
        4 * HOUR_S,
        energy_wh={"MAIN-A": 50_000.0, "MAIN-B": 0.0, "GEN": 0.0},
        resets=(("MAIN-A", 2 * HOUR_S),),
    )

    def test_without_live_readings_it_goes_on_over_resets(self, place: Place) -> None:
        place.make_levels()
        place.store(self.HISTORY.lines())
        assert place.run("--yes") == 0
        rows = of(place.stored(), "mainA")
        assert rows[0]["lifetime_wh"] == rows[0]["energy_wh"]
        steps = [b["lifetime_wh"] - a["lifetime_wh"] for a, b in itertools.pairwise(rows)]
        assert min(steps) >= 0
        assert max(steps) < 10
        assert rows[-1]["energy_wh"] < 50_000 < rows[-1]["lifetime_wh"]

    def test_it_meets_the_first_live_reading(self, place: Place) -> None:
        place.make_levels()
        place.store(self.HISTORY.lines())
        posts = list(self.HISTORY.rows())
        register_wh = posts[-1][1]["MAIN-A_WHRS"]
        assert isinstance(register_wh, float)
        joint = live(RECENT_S + 6 * HOUR_S, register_wh + 700, 90_000.0)
        later = live(RECENT_S + 6 * HOUR_S + 5, register_wh + 701, 90_001.0)
        place.store([joint, later], place.new)
        assert place.run("--yes") == 0
        rows = [row for row in of(place.stored(), "mainA") if row["hertz"] is None]
        assert rows[-1]["lifetime_wh"] == 90_000 - 700
        grown_wh = rows[-1]["lifetime_wh"] - rows[0]["lifetime_wh"]
        before_wh = max(row["energy_wh"] for row in rows) - 50_000
        assert grown_wh == pytest.approx(before_wh + register_wh, abs=2)

    def test_below_zero_there_is_none(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place.make_levels()
        place.store(self.HISTORY.lines())
        register_wh = list(self.HISTORY.rows())[-1][1]["MAIN-A_WHRS"]
        place.store([live(RECENT_S + 6 * HOUR_S, register_wh, register_wh)], place.new)  # type: ignore[arg-type]
        assert place.run("--yes") == 0
        assert "get no lifetime_wh: it would lie below zero" in capsys.readouterr().err
        rows = [row for row in of(place.stored(), "mainA") if row["hertz"] is None]
        at_reset_wh = max(row["energy_wh"] for row in rows)
        for row in rows:
            if row["time"] >= (RECENT_S + 2 * HOUR_S) * NS:
                assert row["lifetime_wh"] == row["energy_wh"]
            else:
                at_the_end = row["energy_wh"] == at_reset_wh
                assert row["lifetime_wh"] == (0 if at_the_end else None)

    def test_live_readings_without_it_are_waited_for(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place.make_levels()
        place.store(self.HISTORY.lines())
        place.store([live(RECENT_S + 6 * HOUR_S, 100.0, None)], place.new)
        assert place.run("--yes") == 1
        assert "mainA has live readings without lifetime_wh" in capsys.readouterr().err
        assert len(place.stored()) == 1


def test_live_readings_are_never_overwritten(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.make_levels()
    history = OriginalHistory(RECENT_S, 3 * HOUR_S)
    posts = list(history.rows())
    place.store(history.lines())
    start_ns = posts[len(posts) // 2][0]
    register_wh = posts[len(posts) // 2][1]["MAIN-A_WHRS"]
    first_live = f"{live(0, register_wh, 70_000.0)[:-1]}{start_ns}"  # type: ignore[arg-type]
    place.store([first_live], place.new)
    (before,) = place.stored()
    assert place.run("--yes", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    later = [time_ns for time_ns, _ in posts if time_ns >= start_ns]
    assert report["skipped"] == {"not before the first live reading": 2 * len(later)}
    rows = place.stored()
    (after,) = (row for row in rows if row["hertz"] is not None)
    assert {name: value for name, value in after.items() if value is not None} == before
    assert max(row["time"] for row in rows if row["hertz"] is None) < start_ns
    assert max(row["time"] for row in place.stored("host")) < start_ns
    for level, length_s in (("m1", 60), ("h1", HOUR_S)):
        ends = [row["time"] // NS + length_s for row in place.stored(policy=level)]
        assert max(ends) <= start_ns // NS
    assert place.stored(policy="d1") == []


def test_a_second_run_changes_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.make_levels()
    place.store(OriginalHistory(RECENT_S, 3 * HOUR_S).lines())
    assert place.run("--yes", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    before = place.everything()
    assert place.run("--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert place.run("--yes", "--again", "--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert place.everything() == before
    assert len(before["raw.meter"]) > 4000


def test_what_has_come_since_is_added(place: Place) -> None:
    place.make_levels()
    lines = list(OriginalHistory(RECENT_S, 3 * HOUR_S).lines())
    place.store(lines[:1000])
    assert place.run("--yes") == 0
    place.store(lines[1000:])
    assert place.run() == 0
    at_once = Place(place.server, place.folder / "other")
    at_once.make_levels()
    at_once.store(lines)
    assert at_once.run("--yes") == 0
    assert place.everything() == at_once.everything()
    assert len(of(place.stored(), "mainA")) == len(lines)


EVENTFUL = OriginalHistory(
    RECENT_S,
    DAY_S,
    on_generator=((HOUR_S, 3 * HOUR_S),),
    resets=(("MAIN-A", 8 * HOUR_S),),
    off=((9 * HOUR_S, 11 * HOUR_S),),
)


@pytest.mark.parametrize(
    ("of", "call", "number", "begun"),
    [
        (Importer, "_take", 2, False),
        (Importer, "_take", 7, True),
        (Target, "write", 2, True),
        (Target, "write", 7, True),
    ],
)
@pytest.mark.parametrize("killed", [False, True])
def test_interrupted_and_resumed_equals_uninterrupted(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    of: type,
    call: str,
    number: int,
    begun: bool,
    killed: bool,
) -> None:
    place.make_levels()
    place.store(EVENTFUL.lines())
    genuine, genuine_save = getattr(of, call), KeptFile.save
    calls, saves = itertools.count(), itertools.count()

    def interrupted(*args: object) -> object:
        if next(calls) == number:
            raise KeyboardInterrupt
        result: object = genuine(*args)
        return result

    def forgetful(file: KeptFile, kept: dict[str, Any]) -> bool:
        return bool(next(saves) % 2) or genuine_save(file, kept)

    with monkeypatch.context() as patch:
        patch.setattr(of, call, interrupted)
        if killed:  # the last note was not written any more
            patch.setattr("pzem.history.importer.NOTE_EVERY_S", 0.0)
            patch.setattr(KeptFile, "save", forgetful)
        assert place.run("--yes") == 130
    said = capsys.readouterr().err
    assert ("the import is not complete" in said) is begun
    assert "the same command goes on where it stands" in said
    assert place.run("--yes", "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    resumed = place.everything()

    assert place.run("--yes", "--json", "--again") == 0
    assert json.loads(capsys.readouterr().out) == report
    assert place.everything() == resumed
    assert report["rows"] == len(list(EVENTFUL.rows()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal_it_says_that_it_goes_on(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    place.store(EVENTFUL.lines())
    genuine = Target.write

    def ended(*args: Any) -> object:  # noqa: ANN401
        signal.raise_signal(number)
        return genuine(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Target, "write", ended)
        assert place.run("--yes") == 130
    assert "the same command goes on where it stands" in capsys.readouterr().err
    assert place.run("--yes") == 0
    assert "is not complete; it goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new"), [('"position_ns": ', '"position_ns": -'), ('"registers"', '"toasters"')]
)
def test_notes_that_were_edited_are_set_aside(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
) -> None:
    place.store(EVENTFUL.lines())
    with monkeypatch.context() as patch:
        patch.setattr(Target, "write", lambda *_: signal.raise_signal(signal.SIGTERM))
        assert place.run("--yes") == 130
    notes = place.folder / "state" / FILE
    notes.write_text(notes.read_text().replace(old, new))
    capsys.readouterr()
    assert place.run("--yes", "--json") == 0
    printed = capsys.readouterr()
    assert "is damaged, kept as import-original.json.damaged" in printed.err
    assert json.loads(printed.out)["rows"] == len(list(EVENTFUL.rows()))


def test_a_server_that_goes_away_in_the_middle_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Influxd() as server:
        place = Place(server, tmp_path)
        place.make_levels()
        place.store(EVENTFUL.lines())
        genuine = Target.write
        calls = itertools.count()

        def write(*args: object) -> tuple[int, str]:
            if next(calls) == 4:
                server.stop()
            return genuine(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(Target, "write", write)
        monkeypatch.setattr("pzem.cli.importing.Patience", lambda say: Patience(say, revive))

        def revive(_: float) -> None:
            server.start()

        assert place.run("--yes", "--json") == 0
        printed = capsys.readouterr()
        assert "no connection" in printed.err
        report = json.loads(printed.out)
        assert len(place.stored()) == sum(m["readings"] for m in report["meters"].values())


def test_a_server_that_stays_away_ends_it_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pzem.cli.importing.Patience", lambda say: Patience(say, lambda _: None))
    with Influxd() as server:
        place = Place(server, tmp_path)
        place.make_levels()
        place.store(EVENTFUL.lines())
        genuine = Target.write
        calls = itertools.count()

        def write(*args: object) -> tuple[int, str]:
            if next(calls) == 4:
                server.stop()
            return genuine(*args)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Target, "write", write)
            assert place.run("--yes") == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"pzem: {server.url}: no connection")
        server.start()
        assert place.run("--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report["rows"] == len(list(EVENTFUL.rows()))
        assert len(place.stored()) == sum(m["readings"] for m in report["meters"].values())


def test_a_database_that_is_full_of_it_gets_time(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make_levels()
    place.store(EVENTFUL.lines())
    told = Target.memory_mb
    waits: list[float] = []
    held = itertools.chain([310.0, 305.0, 299.0], itertools.repeat(301.0))

    def memory_mb(target: Target) -> float | None:
        own = told(target)
        assert own is not None
        assert 10 < own < 1000
        return next(held)

    monkeypatch.setattr(Target, "memory_mb", memory_mb)
    monkeypatch.setattr("pzem.history.importer.LONGEST_LEAVE_S", 15.0)
    monkeypatch.setattr("pzem.cli.importing.Importer", partial(Importer, sleep=waits.append))
    assert place.run("--yes") == 0
    said = capsys.readouterr().err
    assert said.count("the database holds 310 MB in memory; waiting for room") == 1
    assert said.count("the database keeps its 301 MB; going on all the same") == 1
    assert [wait for wait in waits if wait] == [5.0] * 5  # two, then three and no more


class TestRefusals:
    def test_no_such_time_zone(
        self, place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        genuine = configuration.load
        house = configuration.HouseSettings(timezone="Mars/Olympus")
        monkeypatch.setattr(
            configuration, "load", lambda path: dataclasses.replace(genuine(path), house=house)
        )
        assert place.run() == 2
        assert "no time zone is called Mars/Olympus" in capsys.readouterr().err

    def test_no_such_database(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        assert place.run("--from-database", "nowhere") == 1
        assert "database not found: nowhere" in capsys.readouterr().err

    def test_no_such_measurement(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        assert place.run() == 1
        said = capsys.readouterr().err
        assert f"database {place.old} at {place.server.url} has no measurement ALL_SENSORS" in said

    def test_half_a_meter(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        place.store([f"ALL_SENSORS MAIN-A_VOLT=120.0 {RECENT_S * NS}"])
        assert place.run() == 1
        assert "leave this meter out with --map MAIN-A=" in capsys.readouterr().err

    def test_no_meter(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        place.store([f"ALL_SENSORS T_cpu=50.0 {RECENT_S * NS}"])
        assert place.run() == 1
        assert "has none of MAIN-A_VOLT, MAIN-B_VOLT, GEN_VOLT" in capsys.readouterr().err

    def test_too_little_to_tell_the_unit(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place.make_levels()
        place.store(OriginalHistory(RECENT_S, 600).lines())
        assert place.run("--yes") == 1
        assert "the unit of WHRS cannot be told" in capsys.readouterr().err
        assert place.stored() == []
        assert place.run("--yes", "--unit", "Wh") == 0
        assert len(place.stored()) > 200

    def test_a_unit_against_the_evidence_is_said(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place.store(OriginalHistory(RECENT_S, 3 * HOUR_S).lines())
        assert place.run("--dry-run", "--unit", "kWh") == 0
        said = capsys.readouterr().err
        assert "--unit kWh stands against the evidence, which says Wh" in said

    def test_no_confirmation(
        self,
        place: Place,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        place.make_levels()
        place.store(OriginalHistory(RECENT_S, 3 * HOUR_S).lines())
        for answer in ("", "n\n"):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            assert place.run() == 1
            assert "not confirmed; nothing was written" in capsys.readouterr().err
        assert place.stored() == []
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert place.run() == 0
        assert len(place.stored()) > 4000

    def test_a_second_import_at_the_same_time(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lock = place.folder / "state" / LOCK
        lock.parent.mkdir()
        lock.touch()
        with only_user(lock):
            assert place.run() == 1
        assert "another import is under way" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--map", "MAIN-A=attic"], "no meter is called attic; there are mainA, mainB, gen"),
            (["--map", "MAIN-A=gen", "--map", "GEN=gen"], "two meters of the original would"),
        ],
    )
    def test_meters_that_cannot_be(
        self, place: Place, capsys: pytest.CaptureFixture[str], options: list[str], said: str
    ) -> None:
        assert place.run(*options) == 2
        assert said in capsys.readouterr().err

    def test_no_pair(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            place.run("--map", "MAIN-C=mainA")
        assert "MAIN-C=mainA is no pair" in capsys.readouterr().err

    def test_no_meter_of_the_usual_names(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place.configure(["cellar"])
        assert place.run() == 2
        assert "say with --map what they are" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.make_levels()
    history = OriginalHistory(RECENT_S, 3 * HOUR_S)
    place.store(history.lines())
    assert place.run("--dry-run", "--json") == 0
    printed = capsys.readouterr()
    assert "pzem: GEN as gen: not in this history\n" in printed.err
    report = json.loads(printed.out)
    assert report["complete"] is False
    assert report["rows"] == len(list(history.rows()))
    assert report["written"] == {}
    assert not any(place.everything().values())


def test_meters_may_be_called_otherwise(place: Place) -> None:
    place.make_levels()
    place.configure(["cellar", "mainA"])
    place.store(OriginalHistory(RECENT_S, 3 * HOUR_S).lines())
    assert place.run("--yes", "--map", "MAIN-A=cellar", "--map", "MAIN-B=mainA") == 0
    assert {row["meter"] for row in place.stored()} == {"cellar", "mainA"}


def test_without_levels_everything_goes_to_the_default_policy(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    history = OriginalHistory(RECENT_S - 40 * DAY_S, 3 * HOUR_S)
    place.store(history.lines())
    assert place.run("--yes") == 0
    printed = capsys.readouterr()
    assert "has no retention policy m1, h1, d1" in printed.err
    assert len(place.stored(policy="autogen")) == 2 * len(list(history.rows()))
    assert "2 meters" not in printed.out
    assert f"autogen: {3 * len(list(history.rows()))} points" in printed.out


def test_a_history_in_several_policies_is_read_as_one(place: Place) -> None:
    place.make_levels()
    place.server.query(f"CREATE RETENTION POLICY other ON {place.old} DURATION INF REPLICATION 1")
    lines = list(OriginalHistory(RECENT_S, 8 * HOUR_S).lines())
    place.store(lines[::2])
    place.store(lines[1::2], policy="other")
    assert place.run("--yes") == 0
    assert len(of(place.stored(), "mainA")) == len(lines)


def test_a_history_in_the_own_database_is_found_beside_the_levels(place: Place) -> None:
    history = OriginalHistory(RECENT_S, 3 * HOUR_S)
    place.store(history.lines(), place.new)
    place.make_levels()
    assert place.run("--yes", "--from-database", place.new) == 0
    assert len(of(place.stored(), "mainA")) == len(list(history.rows()))


class TestAuthentication:
    @pytest.fixture
    def locked(self, tmp_path: Path) -> Iterator[Place]:
        with Influxd(auth=True) as server:
            server.query("CREATE USER admin WITH PASSWORD 'x' WITH ALL PRIVILEGES")
            server.credentials = ("admin", "x")
            place = Place(server, tmp_path)
            place.make_levels()
            server.query("CREATE USER pzem WITH PASSWORD 'right'")
            server.query(f"GRANT ALL ON {place.new} TO pzem")
            server.query(f"GRANT READ ON {place.old} TO pzem")
            for name, word in (("own", "right"), ("admin", "x"), ("wrong", "wrong")):
                (tmp_path / name).write_text(word)
            yield place

    def configure(self, place: Place, password: str) -> None:
        text = place.config.read_text().replace(
            "[[meters]]", f'password_file = "{place.folder}/{password}"\n[[meters]]', 1
        )
        place.config.write_text(text)

    def test_an_account_that_reads_the_old_and_writes_the_new(
        self, locked: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.configure(locked, "own")
        lines = list(OriginalHistory(RECENT_S, 3 * HOUR_S).lines())
        admin = Influx(
            InfluxSettings(locked.server.url, locked.old, "admin", locked.folder / "admin"),
            precision="ns",
        )
        assert admin.write(lines) is Verdict.STORED
        assert locked.run("--yes") == 0
        counted = admin.query(f"SELECT count(volts) FROM {locked.new}.raw.meter")
        assert counted[0]["count"] == 2 * len(lines)

    def test_a_wrong_password_is_told(
        self, locked: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.configure(locked, "wrong")
        assert locked.run("--yes") == 1
        (said,) = capsys.readouterr().err.splitlines()
        assert "authorization failed (user pzem)" in said

    def test_the_own_password_goes_to_no_other_server(
        self, locked: Place, influxd: Influxd, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.configure(locked, "own")
        other = locked.server.url.replace("127.0.0.1", "localhost")
        assert locked.run("--yes", "--from-url", other) == 1
        assert "(no log-in)" in capsys.readouterr().err


class TestBackup:
    @pytest.fixture
    def backup(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Make a backup of a history that is then gone."""
        folder = place.folder / "backup"
        influxd = find_influxd()
        monkeypatch.setenv("PATH", f"{influxd.parent}{os.pathsep}{os.environ['PATH']}")
        place.make_levels()
        place.store(OriginalHistory(RECENT_S, 3 * HOUR_S).lines())
        host = f"127.0.0.1:{place.server.rpc_port}"
        line = [str(influxd), "backup", "-portable", "-host", host, "-database", place.old]
        subprocess.run([*line, str(folder)], check=True, capture_output=True)
        place.server.query(f"DROP DATABASE {place.old}")
        return folder

    def run(self, place: Place, folder: Path, *options: str) -> int:
        rpc = f"127.0.0.1:{place.server.rpc_port}"
        return place.run("--backup", str(folder), "--rpc", rpc, "--yes", *options)

    def databases(self, place: Place) -> list[str]:
        return [row["name"] for row in place.server.query("SHOW DATABASES")]

    def test_is_restored_read_and_removed(
        self, place: Place, backup: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(place, backup) == 0
        assert len(of(place.stored(), "mainA")) > 2000
        assert "pzem_import_original" not in self.databases(place)
        before = place.everything()
        capsys.readouterr()
        assert self.run(place, backup) == 0
        assert "this backup is in the database already" in capsys.readouterr().err
        assert place.everything() == before

    def test_all_of_it_has_to_arrive(
        self,
        place: Place,
        backup: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        genuine = restoring.shards_with_files
        looks = itertools.count()

        def late(influx: Influx) -> int:
            return genuine(influx) if next(looks) > 2 else 0

        monkeypatch.setattr(restoring, "shards_with_files", late)
        assert self.run(place, backup, "--dry-run") == 0
        assert next(looks) > 3
        monkeypatch.setattr(restoring, "shards_with_files", lambda *_: 0)
        monkeypatch.setattr("pzem.history.backup.LONGEST_S", 0.0)
        assert self.run(place, backup, "--again") == 1
        assert re.search("backup's [12] shards only 0 have arrived", capsys.readouterr().err)
        (manifest,) = backup.glob("*.manifest")
        manifest.write_text("{")
        assert self.run(place, backup, "--again") == 1
        assert f"{manifest} cannot be read" in capsys.readouterr().err

    def test_interrupted_it_goes_on_with_what_is_restored(
        self,
        place: Place,
        backup: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Target, "write", lambda *_: _interrupt())
            assert self.run(place, backup) == 130
        assert "pzem_import_original" in self.databases(place)
        assert "restoring" in capsys.readouterr().err
        assert self.run(place, backup) == 0
        assert "restoring" not in capsys.readouterr().err
        assert len(of(place.stored(), "mainA")) > 2000

    def test_what_is_none_is_told(
        self, place: Place, backup: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(place, place.folder) == 1
        assert "holds no portable backup" in capsys.readouterr().err
        assert self.run(place, backup, "--from-database", "nowhere") == 1
        assert f"the backup in {backup} could not be restored" in capsys.readouterr().err
        shutil.rmtree(backup)


def _interrupt() -> tuple[int, str]:
    raise KeyboardInterrupt
