from __future__ import annotations

import logging
import threading

import pytest

from pzem.spool import MemorySpool


def test_cycles_leave_in_order_and_only_when_done() -> None:
    spool = MemorySpool()
    for line in "abc":
        spool.put([line])
    first, cycles = spool.peek(2)
    assert (first, cycles) == (0, [["a"], ["b"]])
    assert spool.peek(2) == (0, [["a"], ["b"]])
    spool.done(first, 2)
    assert spool.peek(2) == (2, [["c"]])
    assert len(spool) == 1


def test_a_full_spool_gives_up_the_oldest_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spool = MemorySpool(capacity=2)
    with caplog.at_level(logging.INFO):
        for line in "abcde":
            spool.put([line])
        assert len(caplog.records) == 1
        assert "the oldest are lost" in caplog.records[0].getMessage()
        first, cycles = spool.peek(9)
        assert cycles == [["d"], ["e"]]
        spool.done(first, 2)
        spool.put(["f"])
    assert caplog.records[1].getMessage() == "3 cycles were lost while there was no room"


def test_what_was_given_up_while_being_written_is_not_taken_out_twice() -> None:
    spool = MemorySpool(capacity=2)
    spool.put(["a"])
    spool.put(["b"])
    first, cycles = spool.peek(2)
    spool.put(["c"])
    spool.done(first, len(cycles))
    assert spool.peek(9)[1] == [["c"]]


def test_waiting_ends_with_the_first_cycle() -> None:
    spool = MemorySpool()
    assert not spool.wait(0.0)
    threading.Timer(0.01, spool.put, [["a"]]).start()
    assert spool.wait(30.0)
