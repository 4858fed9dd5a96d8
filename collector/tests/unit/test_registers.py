from __future__ import annotations

import dataclasses

import pytest

from pzem.registers import QUANTITIES, OverRangeError, Reading, decode, encode

GOLDEN = [0x08C5, 0x006C, 0, 0x00F2, 0, 0x183D, 0, 0x01F4, 0x0064, 0]
"""The registers of a real PZEM-016, from the frame quoted in the protocol facts."""
GOLDEN_READING = Reading(
    volts=224.5, amps=0.108, watts=24.2, energy_wh=6205.0, hertz=50.0, power_factor=1.0, alarm=False
)


def test_golden_registers_are_decoded() -> None:
    assert decode(GOLDEN) == GOLDEN_READING


def test_volt_amps_is_the_product() -> None:
    assert GOLDEN_READING.volt_amps == pytest.approx(24.246)


@pytest.mark.parametrize(
    ("registers", "quantity", "value"),
    [
        ({1: 0x0000, 2: 0x0001}, "amps", 65.536),
        ({1: 0x86A0, 2: 0x0001}, "amps", 100.0),
        ({3: 0x0000, 4: 0x0001}, "watts", 6553.6),
        ({5: 0x0000, 6: 0x0001}, "energy_wh", 65536.0),
        ({5: 0x967F, 6: 0x0098}, "energy_wh", 9_999_999.0),
        ({0: 800}, "volts", 80.0),
        ({0: 2600}, "volts", 260.0),
        ({7: 450}, "hertz", 45.0),
        ({7: 650}, "hertz", 65.0),
        ({8: 0}, "power_factor", 0.0),
    ],
)
def test_low_word_comes_first_and_limits_are_within(
    registers: dict[int, int], quantity: str, value: float
) -> None:
    words = [registers.get(i, word) for i, word in enumerate(GOLDEN)]
    assert getattr(decode(words), quantity) == value


@pytest.mark.parametrize(
    ("registers", "message"),
    [
        ({1: 0x9A28, 2: 0x0001}, "over_range amps 105.0"),
        ({0: 2650}, "over_range volts 265.0"),
        ({0: 2601}, "over_range volts 260.1"),
        ({0: 799}, "over_range volts 79.9"),
        ({0: 0}, "over_range volts 0.0"),
        ({1: 0x86A1, 2: 0x0001}, "over_range amps 100.001"),
        ({3: 0x8271, 4: 0x0003}, "over_range watts 23000.1"),
        ({5: 0x9680, 6: 0x0098}, "over_range energy_wh 10000000.0"),
        ({7: 449}, "over_range hertz 44.9"),
        ({7: 651}, "over_range hertz 65.1"),
        ({8: 101}, "over_range power_factor 1.01"),
        ({9: 1}, "over_range alarm 1.0"),
    ],
)
def test_what_a_meter_cannot_measure_is_no_reading(registers: dict[int, int], message: str) -> None:
    words = [registers.get(i, word) for i, word in enumerate(GOLDEN)]
    with pytest.raises(OverRangeError) as error:
        decode(words)
    assert str(error.value) == message


def test_alarm_is_all_ones() -> None:
    assert decode([*GOLDEN[:9], 0xFFFF]).alarm


@pytest.mark.parametrize("count", [0, 9, 11])
def test_other_than_ten_registers_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"got {count}"):
        decode([0] * count)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
def test_encoding_is_the_inverse_over_the_whole_range(quantity: object) -> None:
    name, limits = quantity.name, (quantity.minimum, quantity.maximum)  # type: ignore[attr-defined]
    for value in limits:
        changes: dict[str, float] = {name: value}
        reading = dataclasses.replace(GOLDEN_READING, **changes)  # type: ignore[arg-type]
        assert decode(encode(reading)) == reading
