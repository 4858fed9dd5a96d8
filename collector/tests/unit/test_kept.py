"""Kept files, and the thread that waits for the card in their place."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pzem import saver as saver_module
from pzem.kept import KeptFile
from pzem.saver import RETRY_S, Saver
from support import PATIENCE_S

LONG_S = PATIENCE_S


@pytest.fixture
def saver() -> Iterator[Saver]:
    one = Saver()
    yield one
    one.close()


class Hang:
    """A job that takes until it is let go on, and notes what is done."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.done: list[str] = []

    def __call__(self) -> bool:
        self.begun.set()
        assert self.go_on.wait(LONG_S)
        self.done.append("hung")
        return True

    def then(self, what: str) -> bool:
        self.done.append(what)
        return True


@pytest.fixture
def hang(saver: Saver) -> Iterator[Hang]:
    """Return what the saver hangs on."""
    hang = Hang()
    saver.submit("card", hang)
    assert hang.begun.wait(LONG_S)
    yield hang
    hang.go_on.set()


def on_card(file: Path) -> object:
    return json.loads(file.read_text())


def test_what_is_saved_is_on_the_card(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    kept = KeptFile(file, "")
    assert kept.load() is None
    assert kept.save({"a": 1})
    assert kept.is_saved()
    assert KeptFile(file, "").load() == {"a": 1}


def test_without_a_file_nothing_is_kept() -> None:
    kept = KeptFile(None, "")
    assert kept.load() is None
    assert not kept.save({"a": 1})
    assert not kept.is_saved()


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 9999, "\x00"])
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    assert KeptFile(file, "all is lost").load() is None
    assert "is damaged, kept as x.json.damaged; all is lost" in caplog.text
    assert (tmp_path / "x.json.damaged").read_text() == text
    assert not file.exists()


def test_a_file_that_cannot_be_read_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert KeptFile(tmp_path, "all is lost").load() is None
    assert "cannot be read: Is a directory; all is lost" in caplog.text


@pytest.mark.parametrize("background", [True, False])
def test_a_file_that_cannot_be_written_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, background: bool
) -> None:
    now_s = 0.0
    saver = Saver(lambda: now_s, background=background)
    file = tmp_path / "x.json"
    kept = KeptFile(file, "all is lost", saver)
    file.with_name("x.json.new").mkdir()
    with caplog.at_level(logging.INFO):
        for number in range(3):
            assert kept.save({"a": number})
            saver.submit("other", lambda: True)
            assert saver.is_done("other", LONG_S)
            assert not kept.is_saved()
        file.with_name("x.json.new").rmdir()
        saver.submit("other", lambda: True)
        assert saver.is_done("other", LONG_S)
        assert not kept.is_saved()
        now_s += RETRY_S
        saver.submit("other", lambda: True)
        assert kept.is_saved(LONG_S)
    saver.close()
    assert on_card(file) == {"a": 2}
    assert caplog.text.count("cannot be written: Is a directory; all is lost") == 1
    assert caplog.text.count("can be written again") == 1


def test_nobody_waits_for_a_card_that_hangs(saver: Saver, hang: Hang, tmp_path: Path) -> None:
    kept = KeptFile(tmp_path / "x.json", "", saver)
    state = {"a": 1}
    assert kept.save(state)
    state["a"] = 2
    assert not kept.is_saved()
    assert not kept.is_saved(0.01)
    hang.go_on.set()
    assert kept.is_saved(LONG_S)
    assert on_card(tmp_path / "x.json") == {"a": 1}, "as it was when it was saved"


def test_of_each_owner_the_newest_job_alone_is_done(saver: Saver, hang: Hang) -> None:
    for number in range(3):
        saver.submit("one", lambda number=number: hang.then(f"one {number}"))  # type: ignore[misc]
        saver.submit("two", lambda number=number: hang.then(f"two {number}"))  # type: ignore[misc]
    hang.go_on.set()
    assert saver.is_done("one", LONG_S)
    assert saver.is_done("two", LONG_S)
    assert hang.done == ["hung", "one 2", "two 2"]


def test_what_is_submitted_meanwhile_is_done_after_it(saver: Saver, hang: Hang) -> None:
    saver.submit("card", lambda: hang.then("newest"))
    assert not saver.is_done("card")
    hang.go_on.set()
    assert saver.is_done("card", LONG_S)
    assert hang.done == ["hung", "newest"]


def test_the_end_does_all_that_waits(saver: Saver, hang: Hang, tmp_path: Path) -> None:
    kept = KeptFile(tmp_path / "x.json", "", saver)
    (tmp_path / "x.json.new").mkdir()
    kept.save({"a": 1})
    hang.go_on.set()
    assert saver.is_done("card", LONG_S)
    saver.submit("probe", lambda: True)
    assert saver.is_done("probe", LONG_S)
    (tmp_path / "x.json.new").rmdir()
    saver.close()
    assert on_card(tmp_path / "x.json") == {"a": 1}


def test_the_end_does_not_wait_for_a_card_for_ever(
    saver: Saver,
    hang: Hang,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saver_module, "CLOSE_S", 0.01)
    KeptFile(tmp_path / "x.json", "", saver).save({"a": 1})
    saver.close()
    assert "the card does not answer" in caplog.text
    assert not (tmp_path / "x.json").exists()
    monkeypatch.undo()
    hang.go_on.set()
    saver.close()
    assert on_card(tmp_path / "x.json") == {"a": 1}


def test_a_defect_stops_nothing_else(saver: Saver, caplog: pytest.LogCaptureFixture) -> None:
    saver.submit("defect", lambda: 1 / 0 > 1)
    saver.submit("sound", lambda: True)
    assert saver.is_done("sound", LONG_S)
    assert not saver.is_done("defect")
    assert "this is a defect" in caplog.text
    saver.submit("defect", lambda: True)
    assert saver.is_done("defect", LONG_S)


def test_a_file_is_old_or_new_and_never_torn(saver: Saver, tmp_path: Path) -> None:
    """Whoever opens the new one for writing hangs, as on a card: it is a pipe nobody reads."""
    file = tmp_path / "x.json"
    kept = KeptFile(file, "", saver)
    kept.save({"a": 1})
    assert kept.is_saved(LONG_S)
    fresh = tmp_path / "x.json.new"
    os.mkfifo(fresh)
    kept.save({"a": 2})
    assert not kept.is_saved(0.05)
    assert on_card(file) == {"a": 1}
    reader = os.open(fresh, os.O_RDONLY | os.O_NONBLOCK)
    fresh.unlink()
    kept.save({"a": 3})
    assert kept.is_saved(LONG_S)
    os.close(reader)
    assert on_card(file) == {"a": 3}
