"""What house-status says, for everything that the database may hold."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from project_files import load

house_status = load("roles/status/files/house_status.py")
NOW_S = 1_790_000_000.0
METERS = [
    {"name": "mainA", "label": "Leg A", "address": 4, "supply": "utility"},
    {"name": "gen", "address": 6, "supply": "generator"},
]
VALUES = {"volts": 119.94, "amps": 1.2774, "watts": 94.9, "power_factor": 0.62, "energy_wh": 1234}
SETTINGS: dict[str, Any] = {
    "house": "house",
    "timezone": "Europe/Paris",
    "interval_s": 5,
    "meters": METERS,
    "grafana_url": "http://127.0.0.1:3000",
    "screens": ["http://power.local:3000"],
    "services": [],
    "viewer": {"name": "house", "password_file": "/none"},
}


def ok(number: int = 0, age_s: float = 2) -> Any:
    return house_status.Meter(METERS[number], 0, None, NOW_S - age_s, VALUES)


def silent(number: int = 0) -> Any:
    return house_status.Meter(METERS[number], 1, "no_answer", NOW_S - 2, None)


def status(*meters: Any, problems: tuple[str, ...] = ()) -> Any:
    return house_status.Status(NOW_S, problems, meters)


def test_the_table_shows_numbers_units_and_the_houses_time() -> None:
    table = house_status.table(status(ok(), silent(1)), SETTINGS)
    assert table == [
        "meter      V      A     W    PF    kWh      time  state",
        "Leg A  119.9  1.277  94.9  0.62  1.234  16:13:18  ok",
        "gen        -      -     -     -      -  16:13:18  silent (no_answer)",
    ]


@pytest.mark.parametrize(
    ("meter", "state"),
    [
        (house_status.Meter(METERS[0]), "no data yet"),
        (house_status.Meter(METERS[0], 2, "bad_crc", NOW_S), "faulty (bad_crc)"),
        (ok(age_s=3600), "not read any more, last: ok"),
    ],
)
def test_what_is_no_current_reading_is_shown_as_such(meter: object, state: str) -> None:
    assert house_status.state_of(meter, NOW_S, SETTINGS) == state


def test_an_old_reading_shows_its_day() -> None:
    row = house_status.table(status(ok(age_s=86_000)), SETTINGS)[1]
    assert "2026-09-20 16:20" in row


def test_a_silent_generator_is_explained_and_a_silent_utility_meter_asked_about() -> None:
    hints = house_status.hints(status(silent(0), silent(1)), 5)
    assert hints == [
        "Leg A does not answer: is it powered, its adapter plugged in, and its address 4?",
        "gen is silent, as it is while its generator stands still.",
    ]


def test_problems_come_first_and_no_password_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x7k3-rgqt\n")
    viewer = {"name": "house", "password_file": str(tmp_path / "password")}
    settings = {**SETTINGS, "viewer": viewer}
    broken = status(ok(), problems=("pzem does not run (failed); see: journalctl -u pzem",))
    lines = house_status.report(broken, settings, with_password=False)
    assert "Not everything works" in lines[1]
    assert lines[2].startswith("  - pzem does not run")
    assert not any("x7k3" in line for line in lines)
    assert "  Password  x7k3-rgqt" in house_status.report(broken, settings, with_password=True)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize(
    ("seen", "waited_s"),
    [
        pytest.param([status(ok(), ok(1))], 0, id="all is well"),
        pytest.param([status(problems=("x",))], 60, id="a service never comes"),
        pytest.param([status(ok(), silent(1))], 20, id="a meter stays silent"),
        pytest.param([status(problems=("x",))] * 9 + [status(ok())], 9, id="a service comes"),
        pytest.param(
            [status(ok(), silent(1))] * 6 + [status(ok(), ok(1))], 6, id="a meter settles"
        ),
    ],
)
def test_it_waits_only_for_what_may_still_come(seen: list[Any], waited_s: float) -> None:
    clock, looks = Clock(), iter(seen)
    last = seen[-1]
    result = house_status.wait(lambda: next(looks, last), 5, 60, clock=clock, sleep=clock.sleep)
    assert clock.now_s == waited_s
    assert result is last


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Play InfluxDB and Grafana (what they answer is theirs, word for word)."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/api/health":
                return self.say({"database": "ok", "version": "12.4.0"})
            asked.append(self.headers["Authorization"])
            words = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            now_ms = int(time.time()) * 1000
            if "FROM meter_state" in words["q"][0]:
                columns, rows = ["time", "state", "reason"], {
                    "mainA": [now_ms, 0, None],
                    "gen": [now_ms, 1, "no_port"],
                }  # fmt: skip
            else:
                columns, rows = ["time", *VALUES], {
                    "mainA": [now_ms, *VALUES.values()],
                    "gen": [now_ms - 60_000, *VALUES.values()],
                }  # fmt: skip
            series = [
                {"name": "x", "tags": {"meter": meter}, "columns": columns, "values": [row]}
                for meter, row in rows.items()
            ]
            return self.say({"results": [{"statement_id": 0, "series": series}]})

        def say(self, what: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(what).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_address[1]}"
        (tmp_path / "secret").write_text("s3cret\n")
        influxdb = {
            "url": url,
            "database": "housePower",
            "user": "grafana",
            "password_file": str(tmp_path / "secret"),
        }
        yield {**SETTINGS, "grafana_url": url, "influxdb": influxdb}, asked
        httpd.shutdown()


def test_it_reads_with_the_data_sources_account_and_believes_no_old_value(
    server: tuple[dict[str, Any], list[str]],
) -> None:
    settings, asked = server
    seen = house_status.Appliance(settings).status()
    assert seen.problems == []
    main, gen = seen.meters
    assert (main.state, main.values["volts"]) == (0, 119.94)
    assert (gen.state, gen.reason, gen.values) == (1, "no_port", None)
    assert base64.b64decode(asked[0].split()[1]) == b"grafana:s3cret"


def test_services_that_do_not_answer_are_problems(
    server: tuple[dict[str, Any], list[str]],
) -> None:
    settings, _ = server
    dead = "http://127.0.0.1:9"
    settings = {**settings, "grafana_url": dead, "influxdb": {**settings["influxdb"], "url": dead}}
    problems = house_status.Appliance(settings).status().problems
    assert [problem.split()[0] for problem in problems] == ["Grafana", "InfluxDB"]
    assert all("; see: journalctl -u " in problem for problem in problems)


def test_without_root_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(house_status.CannotTellError, match="sudo house-status"):
        house_status.read_secret("/etc/x")
