"""The levels of the own database, and a server that does not answer as it should."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pzem.config import InfluxSettings
from pzem.history.importer import PATIENCE_S, Patience
from pzem.history.target import Levels, Target, duration_s
from pzem.influx import Influx, InfluxError, InfluxRefusalError, Verdict


class Told(Influx):
    """A stand-in for the connection: takes so many lines at once, tells what it is given."""

    def __init__(self) -> None:
        super().__init__(InfluxSettings())
        self.largest = 10
        self.stored: list[str] = []
        self.answer: dict[str, Any] | None = None

    def query(self, *_: object, **__: object) -> list[dict[str, Any]]:
        return [{"name": "autogen", "duration": "0s", "default": True}]

    def write(self, lines: Sequence[str], policy: str = "") -> Verdict:
        if len(lines) > self.largest:
            self.why = "too large"
            return Verdict.TOO_LARGE
        self.stored += lines
        self.why = "partial write: no such thing"
        return Verdict.STORED if policy else Verdict.PARTLY

    def statistics(self) -> dict[str, Any]:
        if self.answer is None:
            raise InfluxError("no connection")
        return self.answer


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    yield told
    told.close()


@pytest.fixture
def target(told: Told) -> Target:
    return Target(told, "housePower", lambda call: call())


def test_a_request_that_is_too_large_is_halved(told: Told, target: Target) -> None:
    lines = [f"m f={number}" for number in range(35)]
    assert target.write("autogen", lines) == (0, "")
    assert told.stored == lines
    told.largest = 0
    with pytest.raises(InfluxError, match="too large"):
        target.write("autogen", ["one"])


def test_points_are_not_lost_uncounted(target: Target) -> None:
    with pytest.raises(InfluxError, match="no such thing"):
        target.write("", ["one"])


@pytest.mark.parametrize(
    ("answer", "mb"),
    [
        ({"memstats": {"Sys": 412_000_000, "HeapReleased": 12_000_000}}, 400.0),
        ({"memstats": {}}, None),
        ({"memstats": None}, None),
        (None, None),
    ],
)
def test_the_memory_of_the_server(
    told: Told, target: Target, answer: dict[str, Any] | None, mb: float | None
) -> None:
    told.answer = answer
    assert target.memory_mb() == mb


def test_patience_ends() -> None:
    said: list[str] = []
    waits: list[float] = []

    def away() -> None:
        raise InfluxError("no connection")

    with pytest.raises(InfluxError, match="no connection"):
        Patience(said.append, waits.append)(away)
    assert said == ["no connection; trying again for 10 min"]
    assert waits[:6] == [1, 2, 4, 8, 16, 30]
    assert PATIENCE_S <= sum(waits) < PATIENCE_S + 30


def test_a_refusal_is_not_waited_for() -> None:
    def waited(_: object) -> None:
        pytest.fail("it was waited for")

    def refused() -> None:
        raise InfluxRefusalError("database not found")

    with pytest.raises(InfluxRefusalError):
        Patience(waited, waited)(refused)


@pytest.mark.parametrize(
    ("spelled", "seconds"),
    [("0s", 0), ("17472h0m0s", 62_899_200), ("1h30m5s", 5405), ("2w1d", 1_296_000)],
)
def test_durations(spelled: str, seconds: int) -> None:
    assert duration_s(spelled) == seconds


def test_what_fits_into_the_raw_level() -> None:
    day_s = 86_400
    assert Levels("raw", 0, ()).raw_from_ns(1e9) is None
    assert Levels("raw", 10 * day_s, ()).raw_from_ns(1e9) == (10**9 - 9 * day_s) * 10**9
    assert Levels("raw", 0, ("m1",)).lacking == ("h1", "d1")
