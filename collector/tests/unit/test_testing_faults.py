"""What each fault makes of a good reply, and what the ordering of one refuses."""

from collections.abc import Callable
from random import Random

import pytest

from pzem.frames import find_reply, has_good_crc, with_crc
from pzem.registers import QUANTITIES, decode
from pzem.testing import FAULTS, IDLE, SimulatedMeter
from pzem.testing.faults import CORRUPT_GOLDEN, Exchange, Fault

REQUEST = bytes.fromhex("04 04 00 00 00 0A 70 58")
ROUNDS = 50


def good_and_sent(*fault: str | float) -> list[tuple[bytes, bytes]]:
    """Return the good reply and what becomes of it, for as many seeds as `ROUNDS`."""
    pairs = []
    for seed in range(ROUNDS):
        meter = SimulatedMeter("mainA", 4, IDLE, seed=seed)
        meter.fail(*fault)  # type: ignore[arg-type]
        reply = meter.respond(REQUEST)
        assert reply is not None
        pairs.append((reply.good, reply.sent))
    return pairs


def difference(good: bytes, sent: bytes) -> int:
    """Return the bits that differ, in the order of the wire: the lowest of a byte first."""
    assert len(sent) == len(good)
    return int.from_bytes(good, "little") ^ int.from_bytes(sent, "little")


def is_a_bit_off(good: bytes, sent: bytes) -> bool:
    return difference(good, sent).bit_count() == 1


def is_a_burst(good: bytes, sent: bytes, bits: int) -> bool:
    garbled = difference(good, sent)
    return (garbled & -garbled) << bits - 1 == 1 << garbled.bit_length() - 1


def is_displayable(good: bytes, sent: bytes) -> bool:
    words = [int.from_bytes(sent[n : n + 2], "big") for n in range(3, 23, 2)]
    shown = decode(words)  # or it raises
    return has_good_crc(sent) and all(
        getattr(shown, q.name) != getattr(IDLE, q.name) for q in QUANTITIES
    )


EFFECTS: dict[tuple[str | float, ...], Callable[[bytes, bytes], bool]] = {
    ("silence",): lambda _, sent: sent == b"",
    ("drop", 1): lambda _, sent: sent == b"",
    ("late", 0.5): lambda good, sent: sent == good,
    ("leading-zero",): lambda good, sent: sent == b"\0" + good,
    ("leading-junk",): lambda good, sent: sent.endswith(good) and 1 <= len(sent) - 25 <= 8,
    ("doubled",): lambda good, sent: sent == good + good,
    ("trailing-junk",): lambda good, sent: sent.startswith(good) and 1 <= len(sent) - 25 <= 8,
    ("local-echo",): lambda good, sent: sent == REQUEST + good,
    ("echo-alone",): lambda _, sent: sent == REQUEST,
    ("junk",): lambda _, sent: 1 <= len(sent) <= 40 and find_reply(sent, REQUEST) is None,
    ("bit-flip",): lambda good, sent: is_a_bit_off(good, sent) and not has_good_crc(sent),
    ("bit-flips", 3): lambda good, sent: (
        difference(good, sent).bit_count() == 3 and not has_good_crc(sent)
    ),
    ("burst", 16): lambda good, sent: is_a_burst(good, sent, 16) and not has_good_crc(sent),
    ("truncated",): lambda good, sent: 0 < len(sent) < 25 and good.startswith(sent),
    ("wrong-address",): lambda good, sent: (
        has_good_crc(sent) and 1 <= sent[0] <= 247 and sent[0] != 4 and sent[1:-2] == good[1:-2]
    ),
    ("swapped-reply", 5): lambda good, sent: sent == with_crc(b"\x05" + good[1:-2]),
    ("wrong-function",): lambda good, sent: sent == with_crc(b"\x04\x03" + good[2:-2]),
    ("wrong-length",): lambda good, sent: sent == with_crc(b"\x04\x04\x12" + good[3:-2]),
    ("too-long",): lambda good, sent: (
        has_good_crc(sent)
        and sent[:3] == b"\x04\x04\x18"
        and sent[3:23] == good[3:-2]
        and len(sent) == 29
    ),
    ("error", 4): lambda _, sent: sent == with_crc(b"\x04\x84\x04"),
    ("overrange", "volts", 300): lambda good, sent: (
        sent == with_crc(good[:3] + (3000).to_bytes(2, "big") + good[5:-2])
    ),
    ("nonsense",): is_displayable,
    ("corrupt-golden",): lambda _, sent: (
        sent == b"\x04" + CORRUPT_GOLDEN[1:] and not has_good_crc(sent)
    ),
}


def test_every_fault_is_put_to_the_test() -> None:
    assert {fault[0] for fault in EFFECTS} == set(FAULTS)


@pytest.mark.parametrize("fault", EFFECTS, ids=lambda fault: str(fault[0]))
def test_effect(fault: tuple[str | float, ...]) -> None:
    for good, sent in good_and_sent(*fault):
        assert EFFECTS[fault](good, sent), sent.hex(" ")


@pytest.mark.parametrize(
    "name", ["junk", "bit-flip", "truncated", "wrong-address", "leading-junk", "nonsense"]
)
def test_random_faults_differ_from_time_to_time(name: str) -> None:
    assert len({sent for _, sent in good_and_sent(name)}) > ROUNDS / 4


def test_golden_frame_is_corrupt_under_every_address() -> None:
    assert not any(has_good_crc(bytes([n]) + CORRUPT_GOLDEN[1:]) for n in range(1, 248))


@pytest.mark.parametrize(
    "name", ["wrong-length", "wrong-function", "too-long", "overrange", "nonsense"]
)
def test_the_short_reply_to_a_reset_can_be_spoilt_too(name: str) -> None:
    reset = with_crc(b"\x04\x42")
    fault = Fault(name, *(("volts", 300) if name == "overrange" else ()))
    sent = fault.hit(Exchange(reset, reset, IDLE, Random(0)))
    assert has_good_crc(sent)
    assert (sent == reset) is (name in {"overrange", "nonsense"})


@pytest.mark.parametrize("name", ["bit-flips", "burst"])
def test_a_short_reply_can_be_garbled_as_a_whole(name: str) -> None:
    reset = with_crc(b"\x04\x42")
    sent = Fault(name, 32).hit(Exchange(reset, reset, IDLE, Random(0)))
    assert len(sent) == 4
    assert sent != reset


def test_drop_loses_its_share() -> None:
    meter = SimulatedMeter("mainA", 4)
    meter.fail("drop", 0.25)
    replies = [meter.respond(REQUEST) for _ in range(1000)]
    assert 200 < sum(reply is not None and not reply.sent for reply in replies) < 300


def test_count_is_of_replies_hit() -> None:
    meter = SimulatedMeter("mainA", 4)
    meter.fail("drop", 0.5, count=3)
    lost = [reply for _ in range(50) if (reply := meter.respond(REQUEST)) and not reply.sent]
    assert len(lost) == 3
    assert meter.fault is None


def test_late_counts_although_the_bytes_are_good() -> None:
    meter = SimulatedMeter("mainA", 4)
    meter.fail("late", 0.5, count=1)
    delays = [reply.delay_s for _ in range(2) if (reply := meter.respond(REQUEST))]
    assert delays == [0.5, 0.0]


def test_a_request_for_another_meter_uses_up_nothing() -> None:
    meter = SimulatedMeter("mainA", 5)
    meter.fail("silence", count=1)
    assert meter.respond(REQUEST) is None
    assert str(meter.fault) == "silence (1 left)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("late",), "late takes SECONDS, not ''"),
        (("late", "soon"), "SECONDS must be a number from 0 to 60, not soon"),
        (("late", "nan"), "SECONDS must be a number from 0 to 60, not nan"),
        (("late", 61), "SECONDS must be a number from 0 to 60, not 61"),
        (("drop", 1.1), "RATE must be a number from 0 to 1, not 1.1"),
        (("bit-flips", 0), "BITS must be a number from 1 to 32, not 0"),
        (("burst", 33), "BITS must be a number from 1 to 32, not 33"),
        (("error", "2.5"), "CODE must be a whole number, not 2.5"),
        (("swapped-reply", 248), "ADDRESS must be a number from 1 to 247, not 248"),
        (("overrange", "volts", 120), "VALUE must be outside 80 to 260"),
        (("overrange", "volts", 7000), "VALUE must be a number from 0 to 6553.5, not 7000"),
        (("overrange", "ohms", 1), "no quantity is called 'ohms'; there are: volts, amps"),
        (("junk", 3), "junk takes no argument, not '3'"),
        (("fire",), "no fault is called 'fire'; there are: silence"),
    ],
)
def test_bad_orders_say_what_would_be_right(
    arguments: tuple[str | float, ...], message: str
) -> None:
    meter = SimulatedMeter("mainA", 4)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        meter.fail(*arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
    assert meter.fault is None


def test_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="COUNT must be 1 or more, not 0"):
        SimulatedMeter("mainA", 4).fail("junk", count=0)
