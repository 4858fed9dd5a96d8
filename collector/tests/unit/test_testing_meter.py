"""The simulated meter's side of the protocol, against the manual's frames and tables."""

from dataclasses import replace

import pytest

from pzem.frames import with_crc
from pzem.registers import Reading, decode
from pzem.testing import IDLE, SimulatedMeter
from pzem.testing.meter import END_OF_COUNTER_WH

READ_ALL = bytes.fromhex("01 04 00 00 00 0A 70 0D")
GOLDEN = bytes.fromhex("01 04 14 08 C5 00 6C 00 00 00 F2 00 00 18 3D 00 00 01 F4 00 64 00 00 53 8E")
GOLDEN_READING = Reading(224.5, 0.108, 24.2, 6205.0, 50.0, 1.0, alarm=False)


def request(*body: int) -> bytes:
    return with_crc(bytes(body))


@pytest.fixture
def meter() -> SimulatedMeter:
    return SimulatedMeter("mainA", 1, GOLDEN_READING)


def test_answers_as_the_recorded_meter_did(meter: SimulatedMeter) -> None:
    assert meter.answer(READ_ALL) == GOLDEN


@pytest.mark.parametrize(
    ("first", "count", "data"),
    [(0, 1, "08 C5"), (5, 2, "18 3D 00 00"), (9, 1, "00 00"), (7, 3, "01 F4 00 64 00 00")],
)
def test_reads_any_part_of_the_table(
    meter: SimulatedMeter, first: int, count: int, data: str
) -> None:
    reply = meter.answer(request(1, 4, 0, first, 0, count))
    assert reply == with_crc(bytes([1, 4, 2 * count]) + bytes.fromhex(data))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ((1, 4, 0, 0, 0, 11), 2),
        ((1, 4, 0, 9, 0, 2), 2),
        ((1, 4, 0, 10, 0, 1), 2),
        ((1, 4, 0, 0, 0, 0), 3),
        ((1, 3, 0, 0, 0, 1), 2),
        ((1, 3, 0, 2, 0, 2), 2),
        ((1, 6, 0, 3, 0, 1), 2),
        ((1, 6, 0, 2, 0, 0), 3),
        ((1, 6, 0, 2, 0, 248), 3),
        ((1, 0x10, 0, 1, 0, 1), 1),
        ((1, 0x42, 0), 1),
    ],
)
def test_refuses_what_it_cannot_do(meter: SimulatedMeter, body: tuple[int, ...], code: int) -> None:
    assert meter.answer(request(*body)) == request(1, body[1] | 0x80, code)


@pytest.mark.parametrize(
    "frame",
    [
        READ_ALL[:-1] + b"\0",
        request(2, 4, 0, 0, 0, 10),
        request(1, 4, 0, 0, 0),
        READ_ALL[:3],
        b"",
        request(1, 0x41, 0x37, 0x21),
        request(0xF8, 0x41, 0x37, 0x21),
    ],
    ids=["bad CRC", "another address", "too short", "cut", "nothing", "calibrate", "general"],
)
def test_keeps_silent_and_unchanged(meter: SimulatedMeter, frame: bytes) -> None:
    assert meter.answer(frame) is None
    assert meter.answer(READ_ALL) == GOLDEN


def test_is_silent_without_supply(meter: SimulatedMeter) -> None:
    meter.powered = False
    assert meter.answer(READ_ALL) is None


def test_writes_and_reads_back_threshold_and_address(meter: SimulatedMeter) -> None:
    for write in (request(1, 6, 0, 1, 0, 24), request(1, 6, 0, 2, 0, 7)):
        assert meter.answer(write) == write
    assert meter.answer(request(7, 3, 0, 1, 0, 2)) == request(7, 3, 4, 0, 24, 0, 7)
    assert meter.answer(READ_ALL) is None


def test_alarm_is_power_above_the_threshold(meter: SimulatedMeter) -> None:
    meter.answer(request(1, 6, 0, 1, 0, 24))
    assert meter.displayed.alarm
    meter.answer(request(1, 6, 0, 1, 0, 25))
    assert not meter.displayed.alarm


def test_resets_the_energy_and_nothing_else(meter: SimulatedMeter) -> None:
    assert meter.answer(request(1, 0x42)) == request(1, 0x42)
    assert meter.displayed == replace(GOLDEN_READING, energy_wh=0.0)


def test_general_address_is_answered_with_itself(meter: SimulatedMeter) -> None:
    reply = meter.answer(request(0xF8, 4, 0, 0, 0, 10))
    assert reply == with_crc(b"\xf8" + GOLDEN[1:-2])


def test_broadcast_is_obeyed_without_a_reply(meter: SimulatedMeter) -> None:
    assert meter.answer(request(0, 0x42)) is None
    assert meter.displayed.energy_wh == 0.0


@pytest.mark.parametrize(("end", "shown"), [("wrap", 4.0), ("stop", float(END_OF_COUNTER_WH))])
def test_counter_at_its_end(end: str, shown: float) -> None:
    meter = SimulatedMeter("mainA", 1, end_of_counter=end)  # type: ignore[arg-type]
    meter.energy_wh = END_OF_COUNTER_WH - 1
    meter.refresh(IDLE, 5.5)
    assert meter.displayed.energy_wh == shown


def test_counts_fractions_and_shows_whole_watt_hours() -> None:
    meter = SimulatedMeter("mainA", 1)
    shown = []
    for _ in range(4):
        meter.refresh(IDLE, 0.4)
        shown.append(meter.displayed.energy_wh)
    assert shown == [0.0, 0.0, 1.0, 1.0]


def test_shows_exactly_what_it_is_told_until_healed(meter: SimulatedMeter) -> None:
    impossible = replace(IDLE, volts=300.0, energy_wh=9_999_999.0)
    meter.show(impossible)
    meter.refresh(GOLDEN_READING, 1.0)
    assert meter.displayed == impossible
    meter.heal()
    meter.refresh(GOLDEN_READING, 0.0)
    assert meter.displayed.volts == GOLDEN_READING.volts


def test_decode_understands_the_reply(meter: SimulatedMeter) -> None:
    reply = meter.answer(READ_ALL)
    assert reply is not None
    words = [int.from_bytes(reply[at : at + 2], "big") for at in range(3, 23, 2)]
    assert decode(words) == GOLDEN_READING


@pytest.mark.parametrize("address", [0, 248])
def test_address_out_of_range(address: int) -> None:
    with pytest.raises(ValueError, match=f"must be 1 to 247, not {address}"):
        SimulatedMeter("mainA", address)
