from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pzem import cli, status
from pzem.cli import status as command
from pzem.config import Config, MeterSettings
from pzem.meter import NO_ANSWER, NO_PORT, Faulty, Outcome, Silent
from pzem.moment import Moment
from pzem.registers import Reading
from pzem.status import Database, Now, StatusError, StatusFile

READING = Reading(120.4, 5.0, 600.0, 1234.0, 60.0, 0.99, alarm=False)
T0 = 1_800_000_000
BOOT = "b00t"
METERS = (
    MeterSettings("mainA", 4, "utility", "A", "panel_a"),
    MeterSettings("mainB", 5, "utility", "B", "panel_b"),
    MeterSettings("gen", 6, "generator", None, "panel_a"),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
"""As JSON, or nearly: NaN too."""
OWN = (
    MeterSettings("main", 4, "utility", None, "own"),
    MeterSettings("gen", 6, "generator", None, "own"),
)


@dataclass(frozen=True)
class Depth:
    blocks: int = 0
    undated: int = 0
    bytes: int = 0
    oldest_s: int | None = None
    lost: int = 0
    trouble: str | None = None


@dataclass(frozen=True)
class Alarm:
    kind: str
    meter: str = ""
    active: bool = True
    cause: str = "because"


@dataclass(frozen=True)
class Energy:
    lifetime_wh: float | None
    estimated: bool = False


@dataclass
class House:
    """A collector's cycles, one every 5 s, as `StatusFile` hears of them."""

    folder: Path
    meters: tuple[MeterSettings, ...] = METERS
    monotonic_s: float = 100.0
    file: StatusFile = field(init=False)

    def __post_init__(self) -> None:
        self.config = Config(self.meters, runtime_dir=self.folder)
        self.file = StatusFile(self.config, self._moment())

    def _moment(self) -> Moment:
        return Moment(T0 + int(self.monotonic_s), self.monotonic_s, BOOT)

    def cycle(self, times: int = 1, **told: Any) -> dict[str, Any]:  # noqa: ANN401
        outcomes: dict[str, Outcome] = {meter.name: READING for meter in self.meters}
        outcomes |= told.pop("outcomes", {})
        usual: dict[str, Any] = {
            "moment": self._moment(),
            "clock": status.TRUE,
            "homes": {meter.name: f"/dev/tty{meter.address}" for meter in self.meters},
            "ports": {f"/dev/tty{meter.address}": None for meter in self.meters},
            "supply": "utility",
            "watts": 1200.0,
            "volt_amps": 1204.0,
            "energies": {},
            "spool": Depth(),
            "database": Database(self.monotonic_s, None, [self._moment().unix_s]),
        }
        for _ in range(times):
            usual["moment"] = self._moment()
            assert self.file.write(Now(outcomes=outcomes, **(usual | told)))
            self.monotonic_s += 5.0
        return status.read(self.folder)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "run")


def test_the_document_is_what_its_schema_says(house: House) -> None:
    house.cycle(outcomes={"gen": Silent(NO_ANSWER)})
    document = house.cycle(
        outcomes={"mainB": Faulty("crc"), "gen": Silent(NO_ANSWER)},
        homes={"mainA": "/dev/tty4", "mainB": "/dev/tty5", "gen": None},
        ports={"/dev/tty5": "/dev/tty5 does not react", "/dev/tty4": None},
        energies={"mainA": Energy(20_001_234.0), "mainB": Energy(None, estimated=True)},
        spool=Depth(3, 2, 4096, T0, 1, "read-only"),
        database=Database(90.0, "no connection", [T0 + 90, T0 + 85]),
        alarms=[Alarm("volts_low", "mainA"), Alarm("utility_lost", active=False)],
    )
    fields = {
        "volts": 120.4,
        "amps": 5.0,
        "watts": 600.0,
        "volt_amps": 602.0,
        "power_factor": 0.99,
        "hertz": 60.0,
        "energy_wh": 1234.0,
        "alarm": 0.0,
    }
    assert document.pop("pid") > 1
    assert document.pop("version")
    assert document == {
        "schema": 1,
        "interval_s": 5,
        "written": {"unix_s": T0 + 105, "is_true": True, "monotonic_s": 105.0, "boot_id": BOOT},
        "started_unix_s": T0 + 100,
        "clock": {"state": "true", "since_unix_s": T0 + 100},
        "meters": [
            {
                "name": "mainA",
                "address": 4,
                "supply": "utility",
                "fed_from": "panel_a",
                "port": "/dev/tty4",
                "state": "ok",
                "reason": None,
                "since_unix_s": T0 + 100,
                "last": {"at_unix_s": T0 + 105, **fields},
                "lifetime_wh": 20_001_234.0,
                "estimated": False,
            },
            {
                "name": "mainB",
                "address": 5,
                "supply": "utility",
                "fed_from": "panel_b",
                "port": "/dev/tty5",
                "state": "faulty",
                "reason": "crc",
                "since_unix_s": T0 + 105,
                "last": {"at_unix_s": T0 + 100, **fields},
                "lifetime_wh": None,
                "estimated": True,
            },
            {
                "name": "gen",
                "address": 6,
                "supply": "generator",
                "fed_from": "panel_a",
                "port": None,
                "state": "silent",
                "reason": NO_ANSWER,
                "since_unix_s": T0 + 100,
                "last": None,
                "lifetime_wh": None,
                "estimated": None,
            },
        ],
        "ports": [
            {"path": "/dev/tty4", "trouble": None},
            {"path": "/dev/tty5", "trouble": "/dev/tty5 does not react"},
        ],
        "house": {"supply": "utility", "watts": 1200.0, "volt_amps": 1204.0},
        "spool": {
            "blocks": 3,
            "undated": 2,
            "bytes": 4096,
            "oldest_unix_s": T0,
            "lost": 1,
            "trouble": "read-only",
        },
        "database": {
            "last_write_unix_s": T0 + 90,
            "trouble": "no connection",
            "stored": [T0 + 85, T0 + 90],
        },
        "alarms": [
            {"kind": "volts_low", "meter": "mainA", "cause": "because", "since_unix_s": T0 + 105}
        ],
    }


def test_everybody_may_look_into_the_folder_that_it_makes(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        House(tmp_path / "made").cycle()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o755


def test_everybody_may_read_it_and_nobody_sees_half_of_it(house: House) -> None:
    house.cycle()
    file = house.folder / status.FILE_NAME
    before = file.stat()
    assert stat.S_IMODE(before.st_mode) == 0o644
    with file.open() as reader:
        house.cycle(outcomes={"mainA": Faulty("x" * 5000)})
        assert json.loads(reader.read())["meters"][0]["state"] == "ok"
    assert file.stat().st_ino != before.st_ino
    assert [path.name for path in house.folder.iterdir()] == [status.FILE_NAME]


def test_since_when_follows_the_clock_once_the_time_is_known(house: House) -> None:
    waiting = Moment(1000, house.monotonic_s, BOOT, is_true=False)
    document = house.cycle(moment=waiting, clock=status.WAITING)
    house.monotonic_s += 60.0
    document = house.cycle(clock=status.TRUE)
    assert document["started_unix_s"] == T0 + 100
    assert document["meters"][0]["since_unix_s"] == T0 + 100
    assert document["clock"] == {"state": "true", "since_unix_s": T0 + 165}


def test_an_alarm_begins_anew_after_its_end(house: House) -> None:
    house.cycle(3, alarms=[Alarm("volts_low", "mainA")])
    house.cycle(alarms=[Alarm("volts_low", "mainA", active=False)])
    document = house.cycle(2, alarms=[Alarm("volts_low", "mainA")])
    assert [alarm["since_unix_s"] for alarm in document["alarms"]] == [T0 + 120]


def test_a_minute_of_stored_slots_is_shown(house: House) -> None:
    slots = list(range(T0, T0 + 600, 5))
    document = house.cycle(database=Database(99.0, None, slots))
    assert document["database"]["stored"] == slots[-12:]


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").write_text("in the way")
    house = House(tmp_path / "run")
    caplog.set_level(logging.INFO)
    for _ in range(3):
        with pytest.raises(AssertionError):
            house.cycle()
    (tmp_path / "run").unlink()
    house.cycle(2)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "cannot be written: File exists" in said[0]
    assert "can be written again" in said[1]


def test_a_link_in_the_way_leads_nowhere(house: House, tmp_path: Path) -> None:
    house.cycle()
    target = tmp_path / "target"
    target.write_text("precious")
    (house.folder / "status.json.new").symlink_to(target)
    with pytest.raises(AssertionError):
        house.cycle()
    assert target.read_text() == "precious"


def test_the_end_takes_the_status_away(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.cycle()
    house.file.close()
    with pytest.raises(
        StatusError, match=r"is not running, or has started just now: there is no .*status\.json"
    ):
        status.read(house.folder)
    house.file.close()
    assert not caplog.records
    (house.folder / status.FILE_NAME).mkdir()
    house.file.close()
    assert "cannot be removed" in caplog.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is not a status"),
        ("{", "is not a status"),
        ("\xff", "is not a status"),
        ("[" * 100_000, "is not a status"),
        ('{"schema": NaN}', "is not a status"),
        ('{"schema": 1, "interval_s": 1e999}', "is not a status"),
        (" " * (status.MAX_BYTES + 1), "cannot be read: larger than"),
        ("[]", "another version of the collector, schema None"),
        ('{"schema": 99}', "another version of the collector, schema 99"),
    ],
)
def test_what_is_no_status_of_this_version_is_said(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / status.FILE_NAME).write_text(content, encoding="latin-1")
    with pytest.raises(StatusError, match=why):
        status.read(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda at: at.symlink_to("/dev/zero")])
def test_a_status_that_is_no_file_is_said(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / status.FILE_NAME)
    with pytest.raises(StatusError, match="cannot be read: not a regular file"):
        status.read(tmp_path)


def test_the_age_is_counted_on_the_clock_that_never_jumps(house: House) -> None:
    document = house.cycle()
    assert status.age_s(document, BOOT, 107.5) == 7.5
    assert status.age_s(document, "another", 107.5) is None
    assert not status.is_old(document, 20.0)
    assert status.is_old(document, 20.1)
    assert status.is_old(document, None)
    document["interval_s"] = 60
    assert not status.is_old(document, 180.0)


DARK = {"mainA": Silent(NO_ANSWER), "gen": Silent(NO_ANSWER)}
LOST = [Alarm("utility_lost")]


def test_a_healthy_house_is_well(house: House) -> None:
    assert status.complaints(house.cycle(5)) == []


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"outcomes": {"mainA": Silent(NO_ANSWER)}}, "mainA is silent (no_answer)"),
        ({"outcomes": {"mainB": Faulty("crc")}}, "mainB is faulty (crc)"),
        ({"outcomes": {"gen": Silent(NO_PORT)}, "alarms": LOST}, "gen is silent (no_port)"),
        # The other meter of that panel is read, so the panel is not dark.
        ({"outcomes": {"gen": Silent(NO_ANSWER)}, "alarms": LOST}, "gen is silent (no_answer)"),
        ({"clock": status.PROVISIONAL}, "the time is not known; readings are kept until it is"),
        ({"spool": Depth(trouble="the card is read-only")}, "the card: the card is read-only"),
        ({"spool": Depth(lost=7)}, "7 cycles were lost while there was no room for them"),
        ({"alarms": [Alarm("loose_neutral")]}, "loose neutral: because"),
        ({"alarms": [Alarm("volts_low", "mainA")]}, "volts low (mainA): because"),
        ({"alarms": [Alarm("meter_silent", "mainA")]}, "meter silent (mainA): because"),
        (
            {
                "outcomes": {"mainA": Silent(NO_ANSWER)},
                "alarms": [Alarm("meter_silent", "mainA")],
            },
            "mainA is silent (no_answer)",
        ),
    ],
)
def test_what_is_to_be_looked_at_is_said_once(
    house: House, told: dict[str, Any], complaint: str
) -> None:
    house.cycle()
    assert status.complaints(house.cycle(5, **told)) == [complaint]


@pytest.mark.parametrize(
    "told",
    [
        {"outcomes": DARK, "alarms": LOST},
        {"alarms": [Alarm("utility_lost"), Alarm("generator_running")]},
        {"clock": status.WAITING},
        {"database": Database(98.0, "no connection")},
        {"ports": {"/dev/ttyUSB7": "a modem"}},
    ],
)
def test_what_is_the_houses_business_or_passes_is_well(house: House, told: dict[str, Any]) -> None:
    house.cycle()
    assert status.complaints(house.cycle(5, **told)) == []


def test_a_hiccup_is_well_and_what_lasts_is_not(house: House) -> None:
    house.cycle()
    sick: dict[str, Any] = {"outcomes": {"mainA": Faulty("crc")}}
    assert status.complaints(house.cycle(2, **sick)) == []
    assert status.complaints(house.cycle(1, **sick)) == ["mainA is faulty (crc)"]


def test_a_generator_that_feeds_its_own_meter_may_stand_still(tmp_path: Path) -> None:
    house = House(tmp_path, OWN)
    assert status.complaints(house.cycle(5, outcomes={"gen": Silent(NO_ANSWER)})) == []
    assert status.complaints(house.cycle(5, outcomes={"main": Silent(NO_ANSWER)})) != []
    lost = {"outcomes": {"main": Silent(NO_ANSWER)}, "alarms": LOST}
    assert status.complaints(house.cycle(5, **lost)) == []


@pytest.mark.parametrize(
    ("told", "seconds", "complaint"),
    [
        ({"clock": status.WAITING}, 600, "the time is not known; readings are kept until it is"),
        ({"database": Database(None, "404")}, 60, "InfluxDB takes no data: 404"),
        ({"database": Database(100.0, "401")}, 60, "InfluxDB takes no data: 401"),
    ],
)
def test_patience_ends(house: House, told: dict[str, Any], seconds: int, complaint: str) -> None:
    assert status.complaints(house.cycle(seconds // 5, **told)) == []
    assert status.complaints(house.cycle(1, **told)) == [complaint]


# --- pzem status


@pytest.fixture
def call(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run `pzem status` on the machine of `house`, 2 s after its last cycle."""
    config = tmp_path / "pzem.toml"
    config.write_text('[[meters]]\nname = "mainA"\naddress = 4\nsupply = "utility"\n')
    monkeypatch.setattr(Config, "runtime_dir", house.folder)
    monkeypatch.setattr(command, "DEFAULT_PATH", config)

    def run(*words: str, later_s: float = 2.0, boot_id: str = BOOT) -> int:
        at_s = house.monotonic_s - 5.0 + later_s
        monkeypatch.setattr(command, "_now", lambda: (boot_id, at_s))
        monkeypatch.setattr(command, "load", lambda path: house.config)
        return cli.main(["status", *words])

    return run


def test_a_healthy_collector_is_shown(
    house: House, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    house.cycle(13, energies={"mainA": Energy(20_001_234.0), "mainB": Energy(5.0, estimated=True)})
    assert call() == 0
    shown = capsys.readouterr()
    assert not shown.err
    lines = shown.out.splitlines()
    assert lines[0].endswith(", written 2 s ago, running for 60 s, every 5 s")
    assert lines[1].startswith("clock:    right, 2027-01-15 ")
    assert lines[2] == "house:    on utility, 1200.0 W, 1204.0 VA"
    assert lines[3].startswith("database: last write 60 s before, of the slot ")
    assert lines[4] == "spool:    empty"
    assert " ".join(lines[6].split()) == "meter address port V A W VA PF Hz kWh life kWh state"
    assert " ".join(lines[7].split()) == (
        "mainA 4 /dev/tty4 120.4 5.000 600.0 602.0 0.99 60.0 1.234 20001.234 ok"
    )
    assert lines[8].split()[-2:] == ["~0.005", "ok"]
    assert lines[9].split()[-2:] == ["-", "ok"]


def test_all_that_is_wrong_is_shown(
    house: House, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    alarming = Reading(120.4, 5.0, 600.0, 1234.0, 60.0, 0.99, alarm=True)
    house.cycle(homes={})
    house.cycle(
        60,
        clock=status.PROVISIONAL,
        outcomes={"mainA": alarming, "mainB": Silent(NO_PORT), "gen": Faulty("crc")},
        homes={"mainA": "/dev/tty4", "mainB": None, "gen": "/dev/tty6"},
        ports={"/dev/tty5": "does not react", "/dev/tty4": None},
        supply=None,
        watts=None,
        volt_amps=None,
        spool=Depth(3, 2, 4_200_000, T0 + 100, 9, "read-only"),
        database=Database(100.0, "no connection"),
        alarms=[Alarm("clock_unknown"), Alarm("leg_near_limit", "mainA", cause="85 A")],
    )
    assert call() == 1
    shown = capsys.readouterr()
    text = " ".join(shown.out.split())
    for words in (
        "clock: the time is not known; readings are kept until it is, and shown "
        "at a provisional time for 4 min",
        "house: supply not known database:",
        "takes no data (no connection), last write 5 min before",
        "spool: 3 cycles wait, 4.2 MB on the card, 2 of them without a time, the oldest of "
        "5 min before, 9 lost for want of room, read-only",
        "port: /dev/tty5: does not react",
        "alarm: clock_unknown for 4 min: because",
        "alarm: leg_near_limit mainA for 4 min: 85 A",
        "ok, alarm",
        "mainB 5 - - - - - - - - - silent (no_port) for 4 min, last read 5 min before",
        "faulty (crc) for 4 min",
    ):
        assert words in text
    said = shown.err.splitlines()
    assert "pzem: mainB is silent (no_port)" in said
    assert "pzem: InfluxDB takes no data: no connection" in said


def test_before_the_first_write_there_is_none(
    house: House, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    house.cycle(outcomes={"gen": Silent(NO_PORT)}, database=Database(), spool=Depth(1, 0, 0))
    house.cycle(clock=status.WAITING, database=Database(), spool=Depth(1), supply="both")
    assert call() == 0
    shown = capsys.readouterr().out
    assert "database: no write yet\n" in shown
    assert "spool:    1 cycles wait, 0.0 MB on the card\n" in shown
    assert "clock:    the time has not been known for 0 s; readings are kept until it is\n" in shown
    assert "on utility and generator at once" in shown


def test_json_is_the_document_and_the_verdict(
    house: House, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    document = house.cycle(9, outcomes={"gen": Faulty("crc")})
    assert call("--json") == 1
    shown = json.loads(capsys.readouterr().out)
    verdict = {"age_s": 2.0, "running": True, "complaints": ["gen is faulty (crc)"]}
    assert shown == {**document, **verdict}


@pytest.mark.parametrize(
    ("pid", "boot_id", "said"),
    [
        (2**22 + 1, BOOT, "is not running any more: its status is 3 min old (systemctl start pzem"),
        (1, BOOT, "(pid 1) has closed no cycle for 3 min: its status is old (systemctl restart"),
        (1, "another", "is not running: its status is of an earlier boot (systemctl start pzem)"),
    ],
)
def test_an_old_status_is_not_taken_for_the_state(
    house: House,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    pid: int,
    boot_id: str,
    said: str,
) -> None:
    document = copy.deepcopy(house.cycle(9, outcomes={"gen": Faulty("crc")}))
    document["pid"] = pid
    (house.folder / status.FILE_NAME).write_text(json.dumps(document))
    assert call(later_s=200.0, boot_id=boot_id) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert len(shown.err.splitlines()) == 1
    assert "crc" in shown.out
    assert call("--json", later_s=200.0, boot_id=boot_id) == 1
    assert json.loads(capsys.readouterr().out)["running"] is False


@given(data=st.data())
def test_whatever_the_file_holds_is_shown_or_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    house = House(folder)
    alarms = [Alarm("volts_low", "mainA")]
    document = house.cycle(
        9, alarms=alarms, outcomes={"gen": Faulty("crc")}, spool=Depth(1, 1, 9, T0, 1, "full")
    )
    node: Any = document
    path = [data.draw(st.sampled_from(sorted(node)))]
    while node[path[-1]] and isinstance(node[path[-1]], dict | list) and data.draw(st.booleans()):
        node = node[path[-1]]
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        path.append(data.draw(st.sampled_from(keys)))
    if isinstance(node, dict) and data.draw(st.booleans()):
        del node[path[-1]]
    else:
        node[path[-1]] = data.draw(ANYTHING)
    (folder / status.FILE_NAME).write_text(json.dumps(document))
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as shown:
        patch.setattr(command, "_now", lambda: (BOOT, house.monotonic_s))
        patch.setattr(command, "load", lambda path: house.config)
        with contextlib.redirect_stderr(said):
            code = cli.main(["status", *data.draw(st.sampled_from([[], ["--json"]]))])
    assert code == (1 if said.getvalue() else 0)
    if not shown.getvalue():
        assert re.fullmatch(r"pzem: \S+status\.json (is not|was) .+\n", said.getvalue())


def test_a_status_that_is_too_deep_to_print_is_one_line(
    house: House, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    document = house.cycle()
    (house.folder / status.FILE_NAME).write_text(
        json.dumps(document)[:-1] + ', "deep": ' + "[" * 2000 + "]" * 2000 + "}"
    )
    assert call("--json") == 1
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.endswith("status.json is not a status (systemctl restart pzem)\n")


def test_without_a_collector_there_is_nothing_to_show(
    house: House, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call() == 1
    shown = capsys.readouterr()
    assert not shown.out
    assert "pzem: the collector is not running, or has started just now: there is no" in shown.err


def test_a_configuration_for_others_eyes_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "DEFAULT_PATH", tmp_path / "missing.toml")
    monkeypatch.setattr(Config, "runtime_dir", tmp_path)
    assert cli.main(["status"]) == 1
    assert f"there is no {tmp_path}/status.json" in capsys.readouterr().err


def test_a_configuration_that_is_named_must_be_good(tmp_path: Path) -> None:
    assert cli.main(["status", "--config", str(tmp_path / "missing.toml")]) == 2


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (-1, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_are_spelled_in_their_largest_units(seconds: float, spelled: str) -> None:
    assert command.duration(seconds) == spelled
