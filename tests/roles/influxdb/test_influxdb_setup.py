"""The module influxdb_setup without a server: words, durations, files and patience."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType

import pytest

from pzem.testing.influxd import free_port

HOUR = 3600 * 10**9
WEEK = 7 * 24 * HOUR


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("INF", 0),
        ("inf", 0),
        ("0s", 0),
        ("104w", 104 * WEEK),
        ("17472h0m0s", 104 * WEEK),
        ("672h0m0s", 4 * WEEK),
        ("1w2d3h", WEEK + 51 * HOUR),
        ("1h30m", HOUR * 3 // 2),
        ("90ms", 90 * 10**6),
        ("5µs", 5000),
        ("5u", 5000),
    ],
)
def test_durations_are_read_as_declared_and_as_shown(
    influxdb_setup: ModuleType, text: str, span: int
) -> None:
    assert influxdb_setup.nanoseconds(text) == span


@pytest.mark.parametrize("text", ["", "2 years", "104", "w", "1.5h", "-1h", "1h ", "1y", "1hx"])
def test_what_is_no_duration_is_refused(influxdb_setup: ModuleType, text: str) -> None:
    with pytest.raises(influxdb_setup.SetupError, match="is no duration: write it like"):
        influxdb_setup.nanoseconds(text)


@pytest.mark.parametrize("text", ["INF", "104w", "8d", "36h", "90m", "61s", "1500ms", "7u", "9ns"])
def test_durations_are_written_as_they_were(influxdb_setup: ModuleType, text: str) -> None:
    assert influxdb_setup.literal(influxdb_setup.nanoseconds(text)) == text


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"duration": "30m"}, "a duration of 30m is below"),
        ({"duration": "INF", "shard_duration": "1m"}, "a shard duration of 1m is below"),
        ({"duration": "INF", "shard_duration": "INF"}, "a shard duration of INF is below"),
        ({"duration": "1d", "shard_duration": "2d"}, "shard duration of 2d is longer than"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    influxdb_setup: ModuleType, item: dict[str, str], words: str
) -> None:
    with pytest.raises(influxdb_setup.SetupError, match=words):
        influxdb_setup.Policy.declared({"name": "raw", **item})


@pytest.mark.parametrize(
    ("now", "wanted", "loses"),
    [
        ("104w", "52w", True),
        ("INF", "1040w", True),
        ("104w", "104w", False),
        ("104w", "105w", False),
        ("104w", "INF", False),
        ("INF", "INF", False),
    ],
)
def test_it_is_known_when_points_would_be_deleted(
    influxdb_setup: ModuleType, now: str, wanted: str, loses: bool
) -> None:
    declared = influxdb_setup.Policy.declared
    here, there = ({"name": "raw", "duration": duration} for duration in (now, wanted))
    assert declared(here).keeps_longer_than(declared(there)) is loses


def test_words_are_quoted(influxdb_setup: ModuleType) -> None:
    assert influxdb_setup.string(r"it's \ü") == r"'it\'s \\ü'"
    assert influxdb_setup.name('a"b') == r'"a\"b"'


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\0b", "a\x7f"])
def test_control_characters_are_refused_without_being_shown(
    influxdb_setup: ModuleType, text: str
) -> None:
    with pytest.raises(influxdb_setup.SetupError, match="write it without") as caught:
        influxdb_setup.string(text)
    assert text not in str(caught.value)


def test_a_secret_is_for_its_owner_alone(influxdb_setup: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    assert influxdb_setup.read_secret(file) is None
    file.write_text("old\n")
    file.chmod(0o644)
    (tmp_path / "secret.unfinished").write_text("left by an interrupted run")
    assert not influxdb_setup.is_private(file)

    influxdb_setup.write_secret(file, " new ")

    assert influxdb_setup.is_private(file)
    assert influxdb_setup.read_secret(file) == " new "
    assert list(tmp_path.iterdir()) == [file]


def test_a_secret_that_cannot_be_written_is_told_with_the_file(
    influxdb_setup: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(influxdb_setup.SetupError, match="no-folder/secret cannot be written"):
        influxdb_setup.write_secret(tmp_path / "no-folder" / "secret", "new")


def test_waiting_ends(influxdb_setup: ModuleType) -> None:
    seconds = itertools.count()
    with pytest.raises(influxdb_setup.SetupError, match="did not answer within 60 s: see journal"):
        influxdb_setup.wait_for(
            influxdb_setup.Server(port=free_port()),
            60,
            clock=lambda: next(seconds),
            sleep=lambda _: None,
        )
    assert next(seconds) > 60


def test_waiting_ends_early_for_a_server_that_keeps_dying(influxdb_setup: ModuleType) -> None:
    restarts = itertools.count(7)
    with pytest.raises(influxdb_setup.SetupError, match="stops right after its start"):
        influxdb_setup.wait_for(
            influxdb_setup.Server(port=free_port()),
            900,
            restarts=lambda: next(restarts),
            sleep=lambda _: None,
        )
