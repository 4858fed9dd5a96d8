"""The role's templates, rendered and read by those whom they are for."""

from __future__ import annotations

import configparser
import json
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from pzem import config
from pzem.moment import BOOT_ID_FILE
from pzem.tariff import Season, Tariff, Tier, Tiered, TimeOfUse, flat

Render = Callable[..., str]

VARIABLES: dict[str, Any] = {
    "pzem_interval_s": "5",
    "pzem_ports": ["/dev/ttyUSB*"],
    "pzem_exclude_ports": [],
    "pzem_clock": "wait",
    "pzem_thermal_zone": "/sys/class/thermal/thermal_zone0/temp",
    "pzem_timezone": "Europe/Paris",
    "pzem_nominal_volts": "230",
    "pzem_generator_va": 0,
    "pzem_generator_serviced": "",
    "pzem_energy_reset": True,
    "pzem_pi_fed_from": "",
    "pzem_spool_max_mb": "512",
    "pzem_currency": "",
    "pzem_tariffs": [],
    "pzem_generator_fuel": [],
    "pzem_influxdb_url": "http://127.0.0.1:8086",
    "pzem_influxdb_database": "housePower",
    "pzem_influxdb_username": "pzem",
    "pzem_influxdb_password": "secret",
    "pzem_meters": [
        {"name": "mainA", "label": "Leg A", "address": 4, "supply": "utility", "leg": "A"},
        {"name": "gen", "address": "6", "supply": "generator", "fed_from": "own"},
    ],
    "__pzem_state_dir": "/var/lib/pzem",
    "__pzem_runtime_dir": "/run/pzem",
    "__pzem_password_file": "/etc/pzem/influxdb.password",
}


@pytest.fixture
def environment(templates: Path) -> jinja2.Environment:
    """Render as Ansible does, whose filter to_json is `json.dumps`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["to_json"] = json.dumps
    environment.filters["bool"] = lambda value: str(value).lower() in ("true", "yes", "1")
    return environment


@pytest.fixture
def rendered(environment: jinja2.Environment) -> Render:
    """Render pzem.toml.j2."""

    def render(**changes: object) -> str:
        return environment.get_template("pzem.toml.j2").render({**VARIABLES, **changes})

    return render


def test_the_collector_reads_what_was_configured(rendered: Render) -> None:
    read = config.parse(rendered())
    assert (read.interval_s, read.ports, read.exclude_ports) == (5, ("/dev/ttyUSB*",), ())
    assert (read.clock, read.state_dir) == ("wait", Path("/var/lib/pzem"))
    assert (read.runtime_dir, read.spool) == (Path("/run/pzem"), config.SpoolSettings(512))
    assert read.house == config.HouseSettings("Europe/Paris", 230.0)
    assert read.influxdb == config.InfluxSettings(
        "http://127.0.0.1:8086", "housePower", "pzem", Path("/etc/pzem/influxdb.password")
    )
    assert read.meters == (
        config.MeterSettings("mainA", 4, "utility", "A"),
        config.MeterSettings("gen", 6, "generator", None, "own"),
    )


@pytest.mark.parametrize("day", ["2026-05-31", date(2026, 5, 31)], ids=["text", "yaml"])
def test_the_collector_reads_what_the_owner_knows(rendered: Render, day: object) -> None:
    meter = {"name": "gen", "address": 6, "supply": "generator"}
    read = config.parse(
        rendered(
            pzem_generator_va="3500",
            pzem_generator_serviced=day,
            pzem_energy_reset=False,
            pzem_pi_fed_from="panel",
            pzem_meters=[{**meter, "breaker_amps": "30.5", "replaced": day}],
        )
    )
    known = date(2026, 5, 31)
    assert read.house == config.HouseSettings(
        "Europe/Paris", 230.0, 3500.0, known, energy_reset=False, pi_fed_from="panel"
    )
    assert read.meters == (
        config.MeterSettings("gen", 6, "generator", breaker_amps=30.5, replaced=known),
    )


def test_without_tariffs_nothing_has_a_price(rendered: Render) -> None:
    read = config.parse(rendered())
    assert (read.house.currency, read.tariffs, read.generator_fuel) == ("", (), ())


HOUSE = """
- valid_from: 2026-03-01
  billing_day: 12
  fixed_per_month: 9.90
  seasons:
    - from: 06-01
      hours:
        - {from: 7, to: 22, days: weekday, price_per_kwh: 0.45}
        - {from: 22, to: 7, days: weekday, price_per_kwh: 0.000001}
        - {from: 0, to: 24, days: weekend, price_per_kwh: 1}
    - from: 10-01
      tiers: [{up_to_kwh: 500, price_per_kwh: 0.1}, {price_per_kwh: 0.2}]
- {valid_from: "2025-01-01", price_per_kwh: 0.14}
"""


def test_the_collector_reads_the_prices(rendered: Render) -> None:
    fuel = [{"valid_from": date(2026, 1, 1), "price_per_gallon": 3.6, "gallons_per_kwh": 0.13}]
    read = config.parse(
        rendered(pzem_currency="USD", pzem_tariffs=yaml.safe_load(HOUSE), pzem_generator_fuel=fuel)
    )
    low, middle, high = Decimal("0.000001"), Decimal("0.45"), Decimal(1)
    summer = TimeOfUse((low,) * 7 + (middle,) * 15 + (low,) * 2, (high,) * 24)
    winter = Tiered((Tier(Decimal("0.1"), Decimal(500)), Tier(Decimal("0.2"))))
    assert read.house.currency == "USD"
    assert read.tariffs == (
        Tariff(date(2025, 1, 1), (Season(flat(Decimal("0.14"))),)),
        Tariff(
            date(2026, 3, 1),
            (Season(summer, (6, 1)), Season(winter, (10, 1))),
            Decimal("9.9"),
            12,
        ),
    )
    assert read.generator_fuel == (Tariff(date(2026, 1, 1), (Season(flat(Decimal("0.468"))),)),)


@pytest.mark.parametrize("text", ['a "quoted" name', "yes", "0.25", "{", "üñ"])
def test_what_is_no_price_gets_the_collectors_own_complaint(rendered: Render, text: str) -> None:
    tariff = {"valid_from": "2026-01-01", "tiers": [{"price_per_kwh": text}]}
    with pytest.raises(config.ConfigError) as refused:
        config.parse(rendered(pzem_currency="EUR", pzem_tariffs=[tariff]))
    (line,) = refused.value.lines
    shown = json.dumps(text, ensure_ascii=False)
    assert f"tariffs[1].tiers[1].price_per_kwh: {shown} is not a number; " in line


def test_what_is_no_day_gets_the_collectors_own_complaint(rendered: Render) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.parse(rendered(pzem_generator_serviced='31 "May"'))
    (line,) = refused.value.lines
    assert 'house.generator_serviced: "31 \\"May\\"" is not a day; write it like' in line


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


@pytest.fixture
def service(environment: jinja2.Environment) -> Mapping[str, str]:
    """Return the section [Service] of the collector's unit."""
    return service_of(environment, "pzem.service")


def service_of(environment: jinja2.Environment, name: str) -> Mapping[str, str]:
    """Return the section [Service] of a unit; of a key that is set twice, the last value."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(
        environment.get_template(f"{name}.j2").render(
            VARIABLES,
            __pzem_root="/opt/pzem",
            __pzem_config_dir="/etc/pzem",
            __pzem_fingerprint="0",
            __pzem_influxdb_is_local=True,
            pzem_device_allow=["char-ttyUSB"],
        )
    )
    return unit["Service"]


def test_the_sandbox_shows_which_boot_it_is(service: Mapping[str, str]) -> None:
    """A stand-in for systemd, which molecule asks: of /proc, `pid` leaves processes alone."""
    assert BOOT_ID_FILE.is_relative_to("/proc/sys")
    assert service.get("ProcSubset", "all") == "all"


def test_the_folders_are_where_the_configuration_says(
    service: Mapping[str, str], rendered: Render
) -> None:
    read = config.parse(rendered())
    state = [Path("/var/lib") / folder for folder in service["StateDirectory"].split()]
    assert state == [read.state_dir, read.state_dir / "requests"]
    assert Path("/run") / service["RuntimeDirectory"] == read.runtime_dir
    assert int(service["RuntimeDirectoryMode"], 8) & 0o005 == 0o005


def test_the_rollup_has_no_more_rights_than_the_collector(
    environment: jinja2.Environment, service: Mapping[str, str]
) -> None:
    rollup = service_of(environment, "pzem-rollup.service")
    assert rollup["ExecStart"] == "/opt/pzem/current/bin/pzem rollup --config /etc/pzem/pzem.toml"
    for name in ("ProtectSystem", "IPAddressDeny", "CapabilityBoundingSet", "NoNewPrivileges"):
        assert rollup[name] == service[name]
    assert not {"StateDirectory", "DeviceAllow", "SupplementaryGroups"} & rollup.keys()
    assert (rollup["Nice"], rollup["IOSchedulingClass"]) == ("19", "idle")
