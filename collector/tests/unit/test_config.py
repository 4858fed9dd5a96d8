from __future__ import annotations

import os
from pathlib import Path

import pytest

from pzem import config
from pzem.config import Config, ConfigError, InfluxSettings, MeterSettings

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
    )


def test_everything_can_be_set() -> None:
    text = """
        interval_s = 1
        ports = ["/dev/a", "/dev/b"]
        exclude_ports = ["/dev/c*"]
        state_dir = "/tmp/state"
        clock = "wait"
        thermal_zone = "/tmp/temp"
        [influxdb]
        url = "https://db.example:8086/influx"
        database = "d"
        username = "u"
        password_file = "/tmp/p"
    """
    parsed = config.parse(text + METERS)
    assert (parsed.interval_s, parsed.ports, parsed.clock) == (1, ("/dev/a", "/dev/b"), "wait")
    assert parsed.exclude_ports == ("/dev/c*",)
    assert (parsed.state_dir, parsed.thermal_zone) == (Path("/tmp/state"), Path("/tmp/temp"))
    assert parsed.influxdb == InfluxSettings(
        "https://db.example:8086/influx", "d", "u", Path("/tmp/p")
    )


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
