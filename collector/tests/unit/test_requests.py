from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from pzem import cli
from pzem.requests import METER_REPLACED, Request, RequestError, Requests, leave
from pzem.saver import Saver

CONFIG = """
state_dir = "{state}"
[[meters]]
name = "mainA"
address = 4
supply = "utility"
"""


def requests_of(state_dir: Path) -> Requests:
    return Requests(state_dir, Saver(background=False))


def test_requests_are_met_once_and_in_order(tmp_path: Path) -> None:
    requests = requests_of(tmp_path)
    assert requests.waiting() == []
    second = leave(tmp_path, METER_REPLACED, "gen", 2000.0)
    first = leave(tmp_path, METER_REPLACED, "mainA", 1000.0)
    assert first.id != second.id
    assert requests.waiting() == requests_of(tmp_path).waiting() == [first, second]
    requests.done(first)
    requests.done(first)
    assert requests.waiting() == [second]
    assert second == Request(second.id, "meter-replaced", "gen")


def test_no_half_written_request_is_seen(tmp_path: Path) -> None:
    leave(tmp_path, METER_REPLACED, "mainA", 1.0)
    folder = tmp_path / "requests"
    (folder / ".0-half.json").write_text("{")
    (folder / "note.txt").write_text("hello")
    (folder / "folder.json").mkdir()
    assert len(requests_of(tmp_path).waiting()) == 1
    assert [f.name for f in folder.iterdir() if f.suffix == ".json" and f.is_file()] != []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"kind": "dance", "meter": "a"}', '{"kind": "meter-replaced"}',
             '{"kind": "meter-replaced", "meter": 4}', "\udcff", "[" * 4000]
)  # fmt: skip
def test_what_is_no_request_is_removed_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    (folder / "1.json").write_text(text, errors="surrogateescape")
    requests = requests_of(tmp_path)
    assert requests.waiting() == []
    assert requests.waiting() == []
    assert caplog.text.count("cannot be understood") == 1
    assert list(folder.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    (tmp_path / "secret").write_text('{"kind": "meter-replaced", "meter": "a"}')
    (folder / "1.json").symlink_to(tmp_path / "secret")
    assert requests_of(tmp_path).waiting() == []
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestError):
        leave(tmp_path, METER_REPLACED, "mainA", 1.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_leaves_belongs_to_the_collector(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    request = leave(tmp_path, METER_REPLACED, "mainA", 1.0)
    folder = tmp_path / "requests"
    for path in (folder, folder / f"{request.id}.json"):
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o077) == (65534, 65534, 0)


def test_a_failure_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pzem.requests.os.fsync", full)
    (tmp_path / "requests").mkdir()
    with pytest.raises(RequestError, match="No space left"):
        leave(tmp_path, METER_REPLACED, "mainA", 1.0)
    assert list((tmp_path / "requests").iterdir()) == []


def test_a_request_that_cannot_be_removed_or_read_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = leave(tmp_path, METER_REPLACED, "mainA", 1.0)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    requests = requests_of(tmp_path)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Path, "unlink", refuse)
        requests.done(request)
        assert requests.waiting() == requests.waiting() == []
        patch.setattr("pzem.requests.os.open", refuse)
        assert requests.waiting() == requests.waiting() == []
    assert caplog.text.count("cannot be removed") == 1
    assert caplog.text.count("cannot be read") == 1
    assert requests_of(tmp_path).waiting() == [request]
    assert requests.waiting() == []
    assert list((tmp_path / "requests").iterdir()) == [], "it is removed as soon as it can be"


class TestCommand:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        path = tmp_path / "pzem.toml"
        path.write_text(CONFIG.format(state=tmp_path / "state"))
        return path

    def test_leaves_a_request(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "state").mkdir()
        assert cli.main(["meter-replaced", "mainA", "--config", str(config)]) == 0
        (request,) = requests_of(tmp_path / "state").waiting()
        assert (request.kind, request.meter) == (METER_REPLACED, "mainA")
        said = capsys.readouterr().out
        assert "lifetime energy of mainA goes on" in said
        assert "if it is stopped, when it starts" in said

    def test_knows_the_meters(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "state").mkdir()
        assert cli.main(["meter-replaced", "mainB", "--config", str(config)]) == 2
        assert "no meter is called mainB; there are mainA" in capsys.readouterr().err
        assert requests_of(tmp_path / "state").waiting() == []

    def test_says_that_no_collector_ever_ran(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["meter-replaced", "mainA", "--config", str(config)]) == 1
        assert "no collector ever ran here" in capsys.readouterr().err
