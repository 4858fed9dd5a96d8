from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from pzem.host import Thermometer


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    return tmp_path / "temp"


@pytest.mark.parametrize(
    ("text", "celsius"), [("48312\n", 48.312), ("0", 0.0), ("-5000\n", -5.0), ("150000", 150.0)]
)
def test_millidegrees_become_degrees(zone: Path, text: str, celsius: float) -> None:
    zone.write_text(text)
    assert Thermometer(zone).celsius() == celsius


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a temperature in m°C"),
        ("warm\n", "not a temperature in m°C"),
        ("48.3\n", "not a temperature in m°C"),
        ("-273150\n", "-273.15 °C is not the temperature of a processor"),
        ("999999999\n", "1e+06 °C is not the temperature of a processor"),
        ("9" * 9999, "1e+29 °C is not the temperature of a processor"),
    ],
)
def test_nonsense_is_no_temperature(
    zone: Path, text: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    zone.write_text(text)
    with caplog.at_level(logging.INFO):
        assert Thermometer(zone).celsius() is None
    assert caplog.messages == [f"no CPU temperature: {zone}: {why}"]


def test_a_missing_zone_is_said_once_and_used_when_it_comes(
    zone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thermometer = Thermometer(zone)
    with caplog.at_level(logging.INFO):
        assert [thermometer.celsius() for _ in range(3)] == [None] * 3
    assert caplog.messages == [f"no CPU temperature: {zone}: No such file or directory"]
    zone.write_text("50000")
    assert thermometer.celsius() == 50.0


def test_a_folder_is_no_temperature(tmp_path: Path) -> None:
    assert Thermometer(tmp_path).celsius() is None


@pytest.mark.timeout(10)
def test_it_never_waits(zone: Path) -> None:
    """A pipe that nobody writes to, or whose writer is silent, would hold a reader up."""
    os.mkfifo(zone)
    assert Thermometer(zone).celsius() is None
    silent = os.open(zone, os.O_RDWR)
    try:
        assert Thermometer(zone).celsius() is None
    finally:
        os.close(silent)
