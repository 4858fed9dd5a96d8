"""The role's templates, rendered and read by those whom they are for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pzem import config

Render = Callable[..., str]

VARIABLES: dict[str, Any] = {
    "pzem_interval_s": "5",
    "pzem_ports": ["/dev/ttyUSB*"],
    "pzem_exclude_ports": [],
    "pzem_clock": "wait",
    "pzem_thermal_zone": "/sys/class/thermal/thermal_zone0/temp",
    "pzem_influxdb_url": "http://127.0.0.1:8086",
    "pzem_influxdb_database": "housePower",
    "pzem_influxdb_username": "pzem",
    "pzem_influxdb_password": "secret",
    "pzem_meters": [
        {"name": "mainA", "label": "Leg A", "address": 4, "supply": "utility", "leg": "A"},
        {"name": "gen", "address": "6", "supply": "generator", "fed_from": "own"},
    ],
    "__pzem_state_dir": "/var/lib/pzem",
    "__pzem_password_file": "/etc/pzem/influxdb.password",
}


@pytest.fixture
def rendered(templates: Path) -> Render:
    """Render pzem.toml.j2 as Ansible does, whose filter to_json is `json.dumps`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["to_json"] = json.dumps

    def render(**changes: object) -> str:
        return environment.get_template("pzem.toml.j2").render({**VARIABLES, **changes})

    return render


def test_the_collector_reads_what_was_configured(rendered: Render) -> None:
    read = config.parse(rendered())
    assert (read.interval_s, read.ports, read.exclude_ports) == (5, ("/dev/ttyUSB*",), ())
    assert (read.clock, read.state_dir) == ("wait", Path("/var/lib/pzem"))
    assert read.influxdb == config.InfluxSettings(
        "http://127.0.0.1:8086", "housePower", "pzem", Path("/etc/pzem/influxdb.password")
    )
    assert read.meters == (
        config.MeterSettings("mainA", 4, "utility", "A"),
        config.MeterSettings("gen", 6, "generator", None, "own"),
    )


def test_the_secret_is_not_in_the_configuration(rendered: Render) -> None:
    assert "secret" not in rendered()


@pytest.mark.parametrize(
    "text", ['a "quoted" name', "back\\slash", "Zähler 😀", "'", "${x} {{ y }}", "#", "\\u0041"]
)
def test_every_text_arrives_as_it_was_written(rendered: Render, text: str) -> None:
    read = config.parse(
        rendered(
            pzem_ports=[f"/dev/{text}", "/dev/tty*"],
            pzem_exclude_ports=[f"/dev/{text}x"],
            pzem_influxdb_database=text,
            pzem_influxdb_username=text,
        )
    )
    assert read.ports == (f"/dev/{text}", "/dev/tty*")
    assert read.exclude_ports == (f"/dev/{text}x",)
    assert (read.influxdb.database, read.influxdb.username) == (text, text)


def test_without_a_password_there_is_no_log_in(
    rendered: Render,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pzem.config.checking.DEFAULT_PASSWORD_FILE", Path("/nowhere"))
    assert config.parse(rendered(pzem_influxdb_password="")).influxdb.password_file is None
