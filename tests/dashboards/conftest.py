"""Dashboards rendered as the role `grafana` renders them, and a real InfluxDB to ask."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
import pytest
import yaml

from pzem.testing.influxd import Influxd

ROOT: Final = Path(__file__).parents[2]
ROLE: Final = ROOT / "roles" / "grafana"
TEMPLATES: Final = sorted((ROOT / "files" / "dashboards").glob("*.json.j2"))

Dashboard = dict[str, Any]
Panel = dict[str, Any]
Render = Callable[..., Dashboard]

_numbers = itertools.count()


def meters(count: int) -> list[dict[str, Any]]:
    """Return the first `count` meters of a house whose names appear nowhere else."""
    return [
        {"name": "zz1", "label": "Side 1", "address": 1, "supply": "utility"},
        {"name": "zz2", "label": 'Side "2"', "address": 2, "supply": "utility"},
        {"name": "zz3", "label": "Großer Motor", "address": 3, "supply": "generator"},
        {"name": "zz4", "label": "Heat\\pump", "address": 4, "supply": "circuit"},
        {"name": "zz5", "label": "Oven", "address": 5, "supply": "circuit", "fed_from": "own"},
    ][:count]


def render(template: Path, **changes: object) -> Dashboard:
    """Render a dashboard for a house of three meters, but for what is given."""
    delimiters = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__grafana_delimiters"]
    environment = jinja2.Environment(
        autoescape=False,
        trim_blocks=True,
        loader=jinja2.FileSystemLoader(template.parent),
        undefined=jinja2.StrictUndefined,
        **{f"{name}_string": mark for name, mark in delimiters.items()},
    )
    variables: dict[str, object] = {
        "grafana_meters": meters(3),
        "grafana_house_name": "my house",
        "grafana_datasource_uid": "some-uid",
        "grafana_datasource_interval_s": 5,
        "grafana_raw_kept": "104w",
        "grafana_nominal_volts": 120,
        "grafana_generator_va": 3500,
        "grafana_currency": "USD",
        "__grafana_timezone": "Europe/Berlin",
    }
    rendered = environment.from_string(template.read_text()).render(variables | changes)
    document: Dashboard = json.loads(rendered)
    return document


def targets(panel: Panel) -> list[dict[str, Any]]:
    """Return what a panel asks of the database itself."""
    return [target for target in panel["targets"] if "query" in target]


def filled(query: str, start_s: int, end_s: int, interval: str = "10s") -> str:
    """Return `query` with what Grafana fills in for a range of time."""
    for macro, value in (
        ("$timeFilter", f"time >= {start_s}s and time <= {end_s}s"),
        ("$__interval", interval),
        ("${__from:date:iso}", f"{datetime.fromtimestamp(start_s, UTC):%Y-%m-%dT%H:%M:%S.000Z}"),
        ("${__from}", f"{start_s}000"),
        ("${__to}", f"{end_s}000"),
    ):
        query = query.replace(macro, value)
    assert "$" not in query.replace(")$/", ")/"), "a macro that this test does not fill in"
    return query


@dataclass(frozen=True)
class Database:
    """A database of its own in the real server."""

    server: Influxd
    name: str

    def write(self, *lines: str) -> None:
        """Write lines stamped in seconds."""
        request = urllib.request.Request(
            f"{self.server.url}/write?db={self.name}&precision=s", data="\n".join(lines).encode()
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 204

    def ask(
        self, query: str, *, start_s: int, end_s: int, interval: str = "10s"
    ) -> list[dict[str, Any]]:
        """Run a query as Grafana would for a panel that shows that range of time."""
        return self.server.query(filled(query, start_s, end_s, interval), self.name)


@pytest.fixture(scope="session")
def influxd() -> Iterator[Influxd]:
    """Run one InfluxDB for all tests here."""
    with Influxd() as server:
        yield server


@pytest.fixture
def database(influxd: Influxd) -> Database:
    """Create an empty database."""
    name = f"dashboards{next(_numbers)}"
    influxd.query(f"CREATE DATABASE {name}")
    return Database(influxd, name)
