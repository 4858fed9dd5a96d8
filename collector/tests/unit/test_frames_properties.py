"""What holds of all frames and registers, not only of those in the tables."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from pzem.frames import (
    READ_INPUT,
    describe_bad,
    find_reply,
    has_good_crc,
    is_of_another,
    reply_length,
    with_crc,
)
from pzem.registers import (
    ACCURACY,
    QUANTITIES,
    START_AMPS,
    OverRangeError,
    Quantity,
    Reading,
    decode,
    encode,
)
from pzem.testing import SimulatedHouse

addresses = st.integers(1, 247)
words = st.lists(st.integers(0, 0xFFFF), min_size=10, max_size=10)


def request_to(address: int) -> bytes:
    return with_crc(bytes([address, READ_INPUT, 0, 0, 0, 10]))


def reply_of(address: int, data: bytes) -> bytes:
    return with_crc(bytes([address, READ_INPUT, 20]) + data)


def within(quantity: Quantity) -> st.SearchStrategy[float]:
    scale = 10**quantity.decimals
    steps = st.integers(round(quantity.minimum * scale), round(quantity.maximum * scale))
    return steps.map(lambda raw: round(raw / scale, quantity.decimals))


readings = st.builds(Reading, alarm=st.booleans(), **{q.name: within(q) for q in QUANTITIES})
frames = st.builds(reply_of, addresses, st.binary(min_size=20, max_size=20))


@given(readings)
def test_what_is_displayed_is_what_is_decoded(reading: Reading) -> None:
    assert decode(encode(reading)) == reading


@given(words)
def test_any_registers_are_a_reading_within_the_ranges_or_none(registers: list[int]) -> None:
    try:
        reading = decode(registers)
    except OverRangeError:
        return
    assert encode(reading) == registers
    for quantity in QUANTITIES:
        assert quantity.minimum <= getattr(reading, quantity.name) <= quantity.maximum


@given(frames, st.binary(max_size=40), st.binary(max_size=40))
def test_a_reply_is_found_behind_and_before_anything(
    reply: bytes, before: bytes, after: bytes
) -> None:
    request = request_to(reply[0])
    found = find_reply(before + reply + after, request)
    assert found is not None
    if find_reply(before + reply[:-1], request) is None:
        assert found == reply


@given(frames, addresses)
def test_a_reply_of_another_meter_is_none(reply: bytes, asked: int) -> None:
    assume(asked != reply[0])
    assert find_reply(reply, request_to(asked)) is None
    assert is_of_another(reply, request_to(asked))
    assert describe_bad(reply, request_to(asked)) == f"wrong_address {reply[0]}"


@given(st.binary(max_size=80), addresses)
def test_what_is_found_is_always_a_frame_that_answers_the_request(
    received: bytes, address: int
) -> None:
    request = request_to(address)
    reply = find_reply(received, request)
    if reply is None:
        assert not received or describe_bad(received, request)
    else:
        assert reply in received
        assert has_good_crc(reply)
        assert reply[0] == address
        assert len(reply) in {5, reply_length(request)}


@given(frames, st.sets(st.integers(0, 199), min_size=1, max_size=3))
def test_up_to_three_flipped_bits_are_noticed(reply: bytes, bits: set[int]) -> None:
    damaged = int.from_bytes(reply, "little")
    for bit in bits:
        damaged ^= 1 << bit
    assert not has_good_crc(damaged.to_bytes(25, "little"))


@given(frames, st.integers(1, 0xFFFF), st.integers(0, 184))
def test_a_burst_of_up_to_16_bits_is_noticed(reply: bytes, pattern: int, first: int) -> None:
    damaged = int.from_bytes(reply, "little") ^ pattern << first
    assert not has_good_crc(damaged.to_bytes(25, "little"))


@given(
    volts=st.floats(80, 260),
    amps=st.floats(0, 100),
    factor=st.floats(0, 1),
    errors=st.tuples(*[st.floats(-0.005, 0.005)] * 3),
)
def test_no_meter_within_the_manuals_accuracy_is_implausible(
    volts: float, amps: float, factor: float, errors: tuple[float, float, float]
) -> None:
    """Each figure is off by up to 0.5 %, rounded to its LSB, and a small current is not shown."""
    watts = volts * amps * factor
    shown = Reading(
        volts=round(volts * (1 + errors[0]), 1),
        amps=round(amps * (1 + errors[1]), 3) if amps >= START_AMPS else 0.0,
        watts=round(watts * (1 + errors[2]), 1) if watts >= 0.4 else 0.0,
        energy_wh=0.0,
        hertz=60.0,
        power_factor=round(factor, 2),
        alarm=False,
    )
    assert shown.is_plausible


@given(volts=st.floats(80, 260), amps=st.floats(1, 90), excess=st.floats(1.1, 2.0))
def test_more_power_than_current_and_voltage_make_is_implausible(
    volts: float, amps: float, excess: float
) -> None:
    assume(amps * (excess - 1 - ACCURACY) > START_AMPS + 0.01)
    shown = Reading(volts, amps, volts * amps * excess, 0.0, 60.0, 1.0, alarm=False)
    assert not shown.is_plausible


def test_a_simulated_house_is_plausible_all_day() -> None:
    house = SimulatedHouse(seed=3, wild_start=False)
    for _ in range(3600):
        house.advance(24)
        for meter in house.meters.values():
            assert meter.displayed.is_plausible, meter.displayed
