from __future__ import annotations

import dataclasses

from pzem.house import HouseState
from pzem.meter import Faulty, Silent
from pzem.points import Cycle, lines
from pzem.registers import Reading
from pzem.schedule import Slot

READING = Reading(120.1, 2.5, 300.0, 5678.0, 60.0, 1.0, alarm=True)
UNKNOWN = HouseState(None, None, None, None)


def cycle(house: HouseState = UNKNOWN, **outcomes: Reading | Silent | Faulty) -> Cycle:
    return Cycle(Slot(1_000_005, 0.0, 3.0), outcomes, house, 0.0004, 0.0691, 2)


def test_a_reading_is_written_in_floats_at_its_slot() -> None:
    assert lines(cycle(mainA=READING))[:2] == [
        "meter,meter=mainA alarm=1.0,amps=2.5,energy_wh=5678.0,hertz=60.0,power_factor=1.0,"
        "volt_amps=300.25,volts=120.1,watts=300.0 1000005",
        "meter_state,meter=mainA state=0.0 1000005",
    ]


def test_silence_is_a_state_and_no_value() -> None:
    assert lines(cycle(gen=Silent()))[:-1] == [
        'meter_state,meter=gen reason="no_answer",state=1.0 1000005'
    ]


def test_a_fault_tells_its_reason() -> None:
    assert lines(cycle(gen=Faulty("over_range amps 105.0")))[:-1] == [
        'meter_state,meter=gen reason="over_range amps 105.0",state=2.0 1000005'
    ]


def test_flags_are_floats_and_unknown_ones_are_missing() -> None:
    house = HouseState(960.0, 961.5, utility_on=True, generator_on=None)
    assert lines(cycle(house))[0] == "house utility_on=1.0,volt_amps=961.5,watts=960.0 1000005"


def test_the_temperature_is_the_host_s() -> None:
    warm = dataclasses.replace(cycle(), cpu_celsius=48.312)
    assert lines(warm)[0] == "host cpu_celsius=48.312 1000005"


def test_a_house_of_which_nothing_is_known_has_no_point() -> None:
    assert lines(cycle()) == [
        "collector cycle_s=0.0691,lateness_s=0.0004,waiting_cycles=2.0 1000005"
    ]
