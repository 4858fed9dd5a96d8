from __future__ import annotations

import os
import subprocess
import sys
import threading
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from pzem import config
from pzem.config import (
    Config,
    ConfigError,
    HouseSettings,
    InfluxSettings,
    MeterSettings,
    Notation,
    SpoolSettings,
)

METERS = """
[[meters]]
name = "mainA"
address = 4
supply = "utility"
leg = "A"
fed_from = "panel_a"

[[meters]]
name = "gen"
address = 6
supply = "generator"
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config.parse(text, "pzem.toml")
    return list(error.value.lines)


def test_defaults() -> None:
    assert config.parse(METERS) == Config(
        interval_s=5,
        ports=("/dev/ttyUSB*",),
        exclude_ports=(),
        state_dir=Path("/var/lib/pzem"),
        clock="trust",
        thermal_zone=Path("/sys/class/thermal/thermal_zone0/temp"),
        influxdb=InfluxSettings("http://127.0.0.1:8086", "housePower", "pzem", None),
        meters=(
            MeterSettings("mainA", 4, "utility", "A", "panel_a"),
            MeterSettings("gen", 6, "generator", None, "panel"),
        ),
        house=HouseSettings("", 120.0, None, None, True),
        spool=SpoolSettings(512),
        runtime_dir=Path("/run/pzem"),
    )


def test_everything_can_be_set() -> None:
    text = """
        interval_s = 1
        ports = ["/dev/a", "/dev/b"]
        exclude_ports = ["/dev/c*"]
        state_dir = "/tmp/state"
        clock = "wait"
        thermal_zone = "/tmp/temp"
        runtime_dir = "/tmp/run"
        [house]
        timezone = "America/New_York"
        nominal_volts = 230
        generator_va = 3500.5
        generator_serviced = 2026-05-31
        energy_reset = false
        pi_fed_from = "panel_a"
        [spool]
        max_mb = 64
        [influxdb]
        url = "https://db.example:8086/influx"
        database = "d"
        username = "u"
        password_file = "/tmp/p"
    """
    parsed = config.parse(text + METERS + "breaker_amps = 200\nreplaced = '2025-12-31'\n")
    assert (parsed.interval_s, parsed.ports, parsed.clock) == (1, ("/dev/a", "/dev/b"), "wait")
    assert parsed.exclude_ports == ("/dev/c*",)
    assert (parsed.state_dir, parsed.thermal_zone) == (Path("/tmp/state"), Path("/tmp/temp"))
    assert parsed.influxdb == InfluxSettings(
        "https://db.example:8086/influx", "d", "u", Path("/tmp/p")
    )
    assert parsed.house == HouseSettings(
        "America/New_York",
        230.0,
        3500.5,
        date(2026, 5, 31),
        energy_reset=False,
        pi_fed_from="panel_a",
    )
    assert isinstance(parsed.house.nominal_volts, float)
    assert (parsed.spool, parsed.runtime_dir) == (SpoolSettings(64), Path("/tmp/run"))
    assert [(meter.breaker_amps, meter.replaced) for meter in parsed.meters] == [
        (None, None),
        (200.0, date(2025, 12, 31)),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "interval = 5\n" + METERS,
            "pzem.toml:1: interval: unknown key; did you mean interval_s?",
        ),
        (
            METERS + "adress = 5\n",
            "pzem.toml:13: meters[2].adress: unknown key; did you mean address?",
        ),
        (
            "[influxdb]\nuser = 'x'\n" + METERS,
            "pzem.toml:2: influxdb.user: unknown key; did you mean username?",
        ),
        (
            "[influx]\nurl = 'x'\n" + METERS,
            "pzem.toml:1: influx: unknown key; did you mean influxdb?",
        ),
        (
            'interval_s = "5"\n' + METERS,
            'pzem.toml:1: interval_s: "5" is not a whole number; write 5',
        ),
        (
            "\ninterval_s = true\n" + METERS,
            "pzem.toml:2: interval_s: true is not a whole number; write 5",
        ),
        (
            "interval_s = 7\n" + METERS,
            "pzem.toml:1: interval_s: 7 s does not divide a minute; "
            "use one of 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60",
        ),
        (
            'ports = "/dev/ttyUSB0"\n' + METERS,
            'pzem.toml:1: ports: "/dev/ttyUSB0" is not a list of strings; '
            'write a list of names, such as ["/dev/ttyUSB*"]',
        ),
        (
            "ports = []\n" + METERS,
            'pzem.toml:1: ports: names no port; write a list of names, such as ["/dev/ttyUSB*"]',
        ),
        (
            "clock = 'maybe'\n" + METERS,
            'pzem.toml:1: clock: unknown clock "maybe"; use one of "trust", "wait"',
        ),
        (
            METERS.replace('"generator"', '"solar"'),
            'pzem.toml:12: meters[2].supply: unknown supply "solar"; '
            'use one of "utility", "generator", "circuit"',
        ),
        (
            METERS.replace("address = 6", "address = 0"),
            "pzem.toml:11: meters[2].address: 0 is not the address of a meter; use 1 to 247",
        ),
        (
            METERS.replace("address = 6", "address = 248"),
            "pzem.toml:11: meters[2].address: 248 is not the address of a meter; use 1 to 247",
        ),
        (
            METERS.replace("address = 6", "address = 6.0"),
            "pzem.toml:11: meters[2].address: 6.0 is not a whole number; use 1 to 247",
        ),
        (
            METERS.replace("address = 6", "address = 4"),
            "pzem.toml:11: meters[2].address: 4 is the address of mainA too; "
            "change one with pzem set-address and write it here",
        ),
        (
            METERS.replace('"gen"', '"mainA"'),
            'pzem.toml:10: meters[2].name: "mainA" is the name of another meter too; '
            "give each meter a name of its own",
        ),
        (
            METERS.replace('"gen"', '"main A"'),
            'pzem.toml:10: meters[2].name: not a name: "main A"; use letters, digits and _ only',
        ),
        (
            METERS.replace('name = "gen"\n', ""),
            "pzem.toml:9: meters[2]: name is missing; add name = …",
        ),
        (
            "interval_s = 5\n",
            "pzem.toml:1: meters: no meter; add a [[meters]] table with name, address and supply",
        ),
        (
            "interval_s = 1\nports = ['/dev/a']\n"
            + METERS
            + '[[meters]]\nname = "x"\naddress = 9\nsupply = "circuit"\n',
            "pzem.toml:1: interval_s: 3 meters on 1 port(s) need 1.5 s a cycle; "
            "write interval_s = 2, or name more ports",
        ),
        (
            "[influxdb]\nurl = 'localhost:8086'\n" + METERS,
            'pzem.toml:2: influxdb.url: not a web address: "localhost:8086"; '
            "write it like http://127.0.0.1:8086",
        ),
        (
            "[influxdb]\nurl = 'http://a:b@host'\n" + METERS,
            "pzem.toml:2: influxdb.url: holds a user or password; use username and password_file",
        ),
        (
            "[influxdb]\nurl = 'http://host:99999'\n" + METERS,
            'pzem.toml:2: influxdb.url: not a web address: "http://host:99999"; '
            "write it like http://127.0.0.1:8086",
        ),
        (
            "[influxdb]\nurl = 'http://host:8086/?db=x'\n" + METERS,
            "pzem.toml:2: influxdb.url: holds more than the server's address; "
            "write it like http://127.0.0.1:8086",
        ),
        (
            "meters = 3\n",
            "pzem.toml:1: meters: 3 is not a list of tables; "
            "add a [[meters]] table with name, address and supply",
        ),
        (
            "influxdb = 3\n" + METERS,
            "pzem.toml:1: influxdb: 3 is not a table; write [influxdb]",
        ),
        (
            "state_dir = ''\n" + METERS,
            'pzem.toml:1: state_dir: empty; leave it out for "/var/lib/pzem"',
        ),
        (
            "state_dir = 'var/lib/pzem'\n" + METERS,
            'pzem.toml:1: state_dir: "var/lib/pzem" does not begin with /; write the whole path, '
            'such as "/var/lib/pzem"',
        ),
        (
            "runtime_dir = '~/run'\n" + METERS,
            'pzem.toml:1: runtime_dir: "~/run" does not begin with /; write the whole path, '
            'such as "/run/pzem"',
        ),
        (
            "runtime_dir = 5\n" + METERS,
            "pzem.toml:1: runtime_dir: 5 is not a string; put it in quotes",
        ),
        (
            "house = true\n" + METERS,
            "pzem.toml:1: house: true is not a table; write [house]",
        ),
        (
            "[house]\ntime_zone = 'UTC'\n" + METERS,
            "pzem.toml:2: house.time_zone: unknown key; did you mean timezone?",
        ),
        (
            "[house]\n\ntimezone = 'Amerika/New_York'\n" + METERS,
            'pzem.toml:3: house.timezone: there is no time zone "Amerika/New_York"; '
            "did you mean America/New_York?",
        ),
        (
            "[house]\ntimezone = 'home'\n" + METERS,
            'pzem.toml:2: house.timezone: there is no time zone "home"; '
            'write a name such as America/New_York, or "" for the system\'s own',
        ),
        (
            "[house]\ntimezone = -5\n" + METERS,
            "pzem.toml:2: house.timezone: -5 is not a string; "
            'write a name such as America/New_York, or "" for the system\'s own',
        ),
        (
            "[house]\nnominal_volts = 400\n" + METERS,
            "pzem.toml:2: house.nominal_volts: 400 is not between 100 and 250; "
            "write the volts of one leg to neutral, such as 120 or 230",
        ),
        (
            "[house]\nnominal_volts = '120'\n" + METERS,
            'pzem.toml:2: house.nominal_volts: "120" is not a number; '
            "write the volts of one leg to neutral, such as 120 or 230",
        ),
        (
            "[house]\ngenerator_va = 3.5\n" + METERS,
            "pzem.toml:2: house.generator_va: 3.5 is not between 100 and 100000; "
            "write what it delivers for long in VA, such as 3500; leave it out if not known",
        ),
        (
            "[house]\ngenerator_serviced = 2026-05-31T10:00:00\n" + METERS,
            "pzem.toml:2: house.generator_serviced: 2026-05-31T10:00:00 is not a day; "
            "write it like 2026-05-31, year first",
        ),
        (
            "[house]\nenergy_reset = 'no'\n" + METERS,
            'pzem.toml:2: house.energy_reset: "no" is not true or false; '
            "write true or false, no quotes",
        ),
        (
            "[house]\npi_fed_from = 'panel_b'\n" + METERS,
            'pzem.toml:2: house.pi_fed_from: no meter is fed from "panel_b"; '
            'use "panel", "panel_a" or ""',
        ),
        (
            "[house]\npi_fed_from = 'own'\n" + METERS,
            'pzem.toml:2: house.pi_fed_from: no meter is fed from "own"; '
            'use "panel", "panel_a" or ""',
        ),
        (
            "[house]\npi_fed_from = 7\n" + METERS.replace("panel_a", "own") + 'fed_from = "own"',
            'pzem.toml:2: house.pi_fed_from: 7 is not a string; write ""',
        ),
        (
            "[spool]\nmax = 5\n" + METERS,
            "pzem.toml:2: spool.max: unknown key; did you mean max_mb?",
        ),
        (
            "[spool]\nmax_mb = 0\n" + METERS,
            "pzem.toml:2: spool.max_mb: 0 is not between 10 and 10000; "
            "write the megabytes that it may take, such as 512",
        ),
        (
            "spool.max_mb = 20.5\n" + METERS,
            "pzem.toml:1: spool.max_mb: 20.5 is not a whole number; "
            "write the megabytes that it may take, such as 512",
        ),
        (
            METERS + "breaker_amps = 0\n",
            "pzem.toml:13: meters[2].breaker_amps: 0 is not between 1 and 1000; "
            "write the breaker's rating in A, such as 100; leave it out if not known",
        ),
        (
            METERS + "breaker_amps = true\n",
            "pzem.toml:13: meters[2].breaker_amps: true is not a number; "
            "write the breaker's rating in A, such as 100; leave it out if not known",
        ),
        (
            METERS + "replaced = '31.12.2025'\n",
            'pzem.toml:13: meters[2].replaced: "31.12.2025" is not a day; '
            "write it like 2026-05-31, year first",
        ),
        (
            METERS + "replaced = '0026-05-31'\n",
            "pzem.toml:13: meters[2].replaced: the year 26 cannot be meant; "
            "write it like 2026-05-31, year first",
        ),
    ],
)
def test_complaint_names_line_key_and_mend(text: str, complaint: str) -> None:
    assert complaints(text) == [complaint]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (METERS + "[meters.leg]\n", "pzem.toml:13: meters[2].leg: {} is not a string"),
        (METERS + "leg.x = 1\n", "pzem.toml:13: meters[2].leg: {'x': 1} is not a string"),
        (METERS + '"kü" = 1\n', "pzem.toml:13: meters[2].kü: unknown key"),
        ("# \u2028\ninterval_s = 7\n" + METERS, "pzem.toml:2: interval_s: 7 s does not divide"),
        (
            "interval_s = 0x" + "f" * 6000 + "\n" + METERS,
            "pzem.toml:1: interval_s: a huge number s does not divide a minute",
        ),
        ("interval_s = " + "9" * 5000 + "\n" + METERS, "pzem.toml: not a configuration: "),
        ("x = " + "[" * 5000 + "\n" + METERS, "pzem.toml"),
        (
            METERS.replace('"gen"', '"a\\nb"'),
            'pzem.toml:10: meters[2].name: "a\\nb" holds a control character; take it out',
        ),
        ("state_dir = 'a\\u0000'\n".replace("'", '"') + METERS, "pzem.toml:1: state_dir: "),
        ("[influxdb]\nurl = 'http://a..b:8086'\n" + METERS, "pzem.toml:2: influxdb.url: not a web"),
        ("[influxdb]\nurl = 'http://a b'\n" + METERS, "pzem.toml:2: influxdb.url: not a web"),
        ("[influxdb]\nurl = 'http://*:8086'\n" + METERS, "pzem.toml:2: influxdb.url: not a web"),
        (
            "ports = ['/a']\nexclude_ports = ['/*']\n" + METERS,
            "pzem.toml:2: exclude_ports: shuts every port out",
        ),
    ],
)
def test_nasty_files_get_one_line_too(text: str, start: str) -> None:
    (line,) = complaints(text)
    assert line.startswith(start)
    assert line.isprintable()


@pytest.mark.parametrize("url", ["http://[::1]:8086", "http://pi.local", "https://10.0.0.1/x"])
def test_web_addresses(url: str) -> None:
    assert config.parse(f"[influxdb]\nurl = '{url}'\n{METERS}").influxdb.url == url


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "9" * 400, "1e400", "[]"])
@pytest.mark.parametrize(
    ("table", "key"),
    [("house", "nominal_volts"), ("house", "generator_va"), ("spool", "max_mb")],
)
def test_no_number_is_too_odd_for_a_complaint(table: str, key: str, number: str) -> None:
    (line,) = complaints(f"[{table}]\n{key} = {number}\n{METERS}")
    assert line.startswith(f"pzem.toml:2: {table}.{key}: ")
    assert len(line) < 200


@pytest.mark.parametrize(
    "written",
    ["2026-02-30", "2026-5-31", "20260531", "2026-W22-7", "today", "", "2026-05-31 ", "٢٠٢٦-05-31"],
)
def test_only_days_are_days(written: str) -> None:
    (line,) = complaints(f"[house]\ngenerator_serviced = '{written}'\n{METERS}")
    assert line.endswith("is not a day; write it like 2026-05-31, year first")


@pytest.mark.parametrize("written", ["12:30:00", "20260531", "true"])
def test_only_days_are_days_without_quotes_too(written: str) -> None:
    (line,) = complaints(f"{METERS}replaced = {written}\n")
    assert f"replaced: {written} is not a day" in line


def test_a_day_needs_no_clock_that_is_right() -> None:
    """A Pi that has just started may believe that it is 1970: nothing may be refused for that."""
    parsed = config.parse(f"[house]\ngenerator_serviced = 2099-12-31\n{METERS}")
    assert parsed.house.generator_serviced == date(2099, 12, 31)


@pytest.mark.parametrize(
    ("day", "complaint"),
    [
        (date(2026, 5, 31), None),
        (date(2026, 7, 1), None),
        (
            date(2026, 7, 2),
            "f:1: house.generator_serviced: 2026-07-02 is far ahead: here it is 2026-05-31; "
            "correct the day or the clock",
        ),
    ],
)
def test_where_today_is_known_a_day_far_ahead_is_refused(day: date, complaint: str | None) -> None:
    document = {
        "house": {"generator_serviced": day},
        "meters": [{"name": "a", "address": 1, "supply": "utility"}],
    }
    if complaint is None:
        assert config.check(document, {}, "f", today=date(2026, 5, 31)).house == HouseSettings(
            generator_serviced=day
        )
        return
    with pytest.raises(ConfigError) as error:
        config.check(document, {}, "f", today=date(2026, 5, 31))
    assert error.value.lines == (complaint,)


@pytest.mark.parametrize("zone", ["", "UTC", "Europe/Paris", "America/Argentina/Buenos_Aires"])
def test_time_zones(zone: str) -> None:
    assert config.parse(f"[house]\ntimezone = '{zone}'\n{METERS}").house.timezone == zone


@pytest.mark.parametrize(
    "zone", ["America", "../UTC", "/etc/localtime", "right/UTC", "europe/pariss", "a\\u0000"]
)
def test_what_is_no_time_zone(zone: str) -> None:
    (line,) = complaints(f'[house]\ntimezone = "{zone}"\n{METERS}')
    assert line.startswith("pzem.toml:2: house.timezone: there is no time zone ")


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Play a computer that has neither a folder of time zones nor the package tzdata."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([])
    zoneinfo.ZoneInfo.clear_cache()
    for module in [name for name in sys.modules if name.split(".")[0] == "tzdata"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tzdata", None)
    yield
    zoneinfo.reset_tzpath(before)


@pytest.mark.usefixtures("no_zones")
def test_a_computer_without_time_zones_refuses_none() -> None:
    with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
        zoneinfo.ZoneInfo("Europe/Paris")
    text = f"[house]\ntimezone = 'Europe/Paris'\n{METERS}"
    assert config.parse(text).house.timezone == "Europe/Paris"


def test_another_notation_has_its_own_names_for_keys() -> None:
    notation = Notation(
        prefix="my_", sets=": ", names={("house", "generator_va"): "my_generator_va"}
    )
    document = {
        "house": {"generator_va": -1},
        "meters": [{"name": "a", "supply": "utility", "breaker_amps": -1}],
    }
    with pytest.raises(ConfigError) as error:
        config.check(document, {("house", "generator_va"): 7}, "f", notation)
    assert [line.split("; ")[0] for line in error.value.lines] == [
        "f:1: my_meters[1].breaker_amps: -1 is not between 1 and 1000",
        "f:1: my_meters[1]: address is missing",
        "f:7: my_generator_va: -1 is not between 100 and 100000",
    ]


def test_python_alone_is_enough(tmp_path: Path) -> None:
    """A controller checks the configuration without what the collector runs with."""
    path = tmp_path / "pzem.toml"
    path.write_text(f"[house]\ntimezone = 'Europe/Paris'\n{METERS}")
    source = Path(config.__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(source)!r})\n"
         f"from pzem import config; print(len(config.load(config.Path({str(path)!r})).meters))"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (run.stdout, run.stderr) == ("2\n", "")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "pzem.toml"
    path.write_text("\ufeff" + METERS.lstrip(), encoding="utf-8")
    assert len(config.load(path).meters) == 2


def test_all_complaints_come_at_once_in_order_of_lines() -> None:
    wrong = METERS.replace('"utility"', '"mains"').replace("address = 6", "address = 300")
    lines = complaints("interval_s = 0\n" + wrong)
    assert [line.split(": ")[1] for line in lines] == [
        "interval_s",
        "meters[1].supply",
        "meters[2].address",
    ]


def test_broken_toml_names_its_line() -> None:
    (line,) = complaints("interval_s = 5\nports = [\n" + "x\n")
    assert line.startswith("pzem.toml:3: not TOML: ")


def test_five_meters_on_one_named_port_fit_into_5_s() -> None:
    text = "ports = ['/dev/a']\n" + "".join(
        f'[[meters]]\nname = "m{n}"\naddress = {n}\nsupply = "circuit"\n' for n in range(1, 11)
    )
    assert len(config.parse(text).meters) == 10


def test_wildcard_ports_are_not_counted() -> None:
    assert config.parse("interval_s = 1\nports = ['/dev/tty*']\n" + METERS).interval_s == 1


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; name the configuration with --config"):
        config.load(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_unreadable_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "pzem.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        config.load(path)
    assert len(error.value.lines) == 1


@pytest.mark.parametrize("content", [b"#" * (config.MAX_BYTES + 1), None])
def test_a_file_without_end_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "pzem.toml"
    path.symlink_to("/dev/zero") if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        config.load(path)
    assert error.value.lines == (f"{path}: cannot be read: larger than 1048576 bytes",)


def test_it_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pzem.toml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[METERS.replace("\n", "\r\n")])
    writer.start()
    assert len(config.load(pipe).meters) == 2
    writer.join()


def test_no_password_file_means_no_authentication() -> None:
    assert InfluxSettings().password() is None


def test_password_is_read_without_its_line_end(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret \n")
    assert InfluxSettings(password_file=secret).password() == "s3cret"


@pytest.mark.parametrize("content", [None, "", b"\xff"])
def test_unusable_password_file_is_a_configuration_error(
    tmp_path: Path, content: str | bytes | None
) -> None:
    secret = tmp_path / "password"
    if content is not None:
        secret.write_bytes(os.fsencode(content))
    with pytest.raises(ConfigError, match=r"influxdb\.password_file: "):
        InfluxSettings(password_file=secret).password()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda at: at.symlink_to("/dev/zero"), "not a regular file"),
        (lambda at: at.write_bytes(b"x" * 5000), "larger than 4096 bytes"),
    ],
)
def test_a_password_file_that_is_none_is_said(
    tmp_path: Path, make: Callable[[Path], None], why: str
) -> None:
    secret = tmp_path / "password"
    make(secret)
    with pytest.raises(ConfigError) as error:
        InfluxSettings(password_file=secret).password()
    assert error.value.lines == (
        f"influxdb.password_file: cannot read {secret}: {why}; "
        "mend the file, or take the key out if InfluxDB asks for no password",
    )
