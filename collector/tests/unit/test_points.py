from __future__ import annotations

import dataclasses

from pzem.house import AlarmState, LegsState, Meaning, MeterEnergy, Sample, SupplyState
from pzem.meter import Faulty, Outcome, Silent
from pzem.moment import Moment
from pzem.points import Cycle, lines
from pzem.registers import Reading

READING = Reading(120.1, 2.5, 300.0, 5678.0, 60.0, 1.0, alarm=True)
UNKNOWN = SupplyState(None, None, None, None)
NO_MEANING = Meaning(UNKNOWN, LegsState(), None, ())


def cycle(meaning: Meaning = NO_MEANING, **outcomes: Outcome) -> Cycle:
    sample = Sample(Moment(1_000_005, 0.0, "b00t"), outcomes)
    return Cycle(sample, meaning, {}, 0.0004, 0.0691, 2)


def test_a_reading_is_written_in_floats() -> None:
    assert lines(cycle(mainA=READING))[:2] == (
        "meter,meter=mainA alarm=1.0,amps=2.5,energy_wh=5678.0,hertz=60.0,power_factor=1.0,"
        "volt_amps=300.25,volts=120.1,watts=300.0",
        "meter_state,meter=mainA state=0.0",
    )


def test_lifetime_energy_is_written_where_it_is_known() -> None:
    known = dataclasses.replace(
        cycle(mainA=READING), energies={"mainA": MeterEnergy(105_678.0, estimated=True)}
    )
    (line, *_) = lines(known)
    assert "energy_wh=5678.0" in line
    assert "lifetime_estimated=1.0,lifetime_wh=105678.0" in line
    unknown = dataclasses.replace(known, energies={"mainA": MeterEnergy(None, estimated=False)})
    assert "lifetime" not in lines(unknown)[0]


def test_silence_is_a_state_and_no_value() -> None:
    assert lines(cycle(gen=Silent()))[:-1] == (
        'meter_state,meter=gen reason="no_answer",state=1.0',
    )


def test_a_fault_tells_its_reason() -> None:
    assert lines(cycle(gen=Faulty("over_range amps 105.0")))[:-1] == (
        'meter_state,meter=gen reason="over_range amps 105.0",state=2.0',
    )


def test_flags_are_floats_and_unknown_ones_are_missing() -> None:
    supply = SupplyState(960.0, 961.5, utility_on=True, generator_on=None)
    house = dataclasses.replace(NO_MEANING, supply=supply)
    assert lines(cycle(house))[0] == "house utility_on=1.0,volt_amps=961.5,watts=960.0"


def test_an_alarm_is_a_point_of_its_kind_and_meter() -> None:
    alarms = (
        AlarmState("utility_lost", "", active=True, cause="no current"),
        AlarmState("volts_low", "mainA", active=False, cause=""),
    )
    assert lines(cycle(dataclasses.replace(NO_MEANING, alarms=alarms)))[:2] == (
        "alarm_state,kind=utility_lost active=1.0",
        "alarm_state,kind=volts_low,meter=mainA active=0.0",
    )


def test_the_temperature_is_the_host_s() -> None:
    warm = dataclasses.replace(cycle(), cpu_celsius=48.312)
    assert lines(warm)[0] == "host cpu_celsius=48.312"


def test_a_house_of_which_nothing_is_known_has_no_point() -> None:
    assert lines(cycle()) == ("collector cycle_s=0.0691,lateness_s=0.0004,waiting_cycles=2.0",)
