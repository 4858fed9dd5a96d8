"""The simulated house obeys Ohm and Kirchhoff, and its meters see what their wiring lets them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pzem.registers import QUANTITIES, Reading
from pzem.testing import ORIGINAL_WIRING, SimulatedHouse, State, Wiring
from pzem.testing.house import Appliance, displayed

OWN_WIRING = [replace(wiring, fed_from="own") for wiring in ORIGINAL_WIRING]
STEADY = (Appliance(1200.0, 0.8, leg=0), Appliance(600.0, 1.0, leg=1), Appliance(2400, 1.0, None))
HOUR_S = 3600


def seconds(house: SimulatedHouse, count: int) -> Iterator[dict[str, Reading]]:
    for _ in range(count):
        house.advance(1.0)
        yield {name: meter.displayed for name, meter in house.meters.items()}


def shown(house: SimulatedHouse) -> dict[str, Reading]:
    (reading,) = seconds(house, 1)
    return reading


def powered(house: SimulatedHouse) -> set[str]:
    return {name for name, meter in house.meters.items() if meter.powered}


def test_every_reading_is_possible_and_consistent() -> None:
    house = SimulatedHouse(seed=3)
    for state in (State.UTILITY, State.GENERATOR):
        house.state = state
        for readings in seconds(house, HOUR_S):
            for reading in readings.values():
                for quantity in QUANTITIES:
                    value = getattr(reading, quantity.name)
                    assert quantity.minimum <= value <= quantity.maximum
                    assert value == round(value, quantity.decimals)
                product = reading.volts * reading.amps * reading.power_factor
                assert reading.watts == pytest.approx(product, abs=0.051) or product < 0.4
                assert reading.amps == 0 or reading.amps >= 0.02


def test_appliances_come_and_go() -> None:
    readings = list(seconds(SimulatedHouse(seed=1), 2 * HOUR_S))
    for name in ("mainA", "mainB"):
        watts = [reading[name].watts for reading in readings]
        assert max(watts) > 1.5 * min(watts) > 0


def test_same_seed_same_life() -> None:
    lives = [list(seconds(SimulatedHouse(seed=seed), 600)) for seed in (7, 7, 8)]
    assert lives[0] == lives[1] != lives[2]


def test_advance_may_be_cut_at_will() -> None:
    whole, cut = SimulatedHouse(seed=5), SimulatedHouse(seed=5)
    whole.advance(60)
    for _ in range(240):
        cut.advance(0.25)
    assert shown(whole) == shown(cut)


def test_registers_are_renewed_once_a_second() -> None:
    house = SimulatedHouse()
    before = [meter.displayed for meter in house.meters.values()]
    house.advance(0.9)
    assert [meter.displayed for meter in house.meters.values()] == before
    house.advance(0.2)
    assert [meter.displayed for meter in house.meters.values()] != before


def test_utility_carries_each_leg_and_the_generator_meter_sees_volts_only() -> None:
    readings = shown(SimulatedHouse(appliances=STEADY))
    assert readings["mainA"].watts == pytest.approx(1200 + 1200, rel=0.03)
    assert readings["mainA"].power_factor == 0.94  # 2400 W and 900 var
    assert readings["mainB"].watts == pytest.approx(600 + 1200, rel=0.03)
    assert readings["gen"].volts == pytest.approx(readings["mainA"].volts, abs=2)
    assert (readings["gen"].amps, readings["gen"].watts, readings["gen"].power_factor) == (0, 0, 0)


def test_load_takes_voltage() -> None:
    light = shown(SimulatedHouse(appliances=()))["mainA"].volts
    heavy = shown(SimulatedHouse(appliances=[Appliance(6000, 1.0, leg=0)]))
    assert heavy["mainA"].volts == pytest.approx(120 - 50 * 0.03, abs=1)
    assert heavy["mainA"].volts < light
    assert heavy["mainB"].volts == pytest.approx(light, abs=1)


def test_interlock_on_generator_shows_its_volts_on_all_and_its_load_on_one() -> None:
    house = SimulatedHouse(appliances=STEADY)
    house.state = State.GENERATOR
    readings = shown(house)
    for main in ("mainA", "mainB"):
        assert readings[main].volts == pytest.approx(readings["gen"].volts, abs=3)
        assert readings[main].amps == 0
    # nothing runs between two legs of the same phase: the 240 V load is off
    assert readings["gen"].watts == pytest.approx(1200 + 600, rel=0.03)


def test_generator_sags_under_load() -> None:
    hertz, volts = [], []
    for load in (0, 2500, 5000):
        house = SimulatedHouse(appliances=[Appliance(load, 1.0, leg=0)] if load else [])
        house.state = State.GENERATOR
        readings = [readings["gen"] for readings in seconds(house, 60)]
        hertz.append([reading.hertz for reading in readings])
        volts.append([reading.volts for reading in readings])
    for quantity in (hertz, volts):
        idle, half, full = (sum(values) / len(values) for values in quantity)
        assert idle > half > full
    assert all(58 <= value <= 61.5 for values in hertz for value in values)


@pytest.mark.parametrize(
    ("state", "panel", "own"),
    [
        (State.UTILITY, {"mainA", "mainB", "gen"}, {"mainA", "mainB"}),
        (State.OUTAGE, set(), set()),
        (State.GENERATOR, {"mainA", "mainB", "gen"}, {"gen"}),
        (State.UTILITY_BACK, {"mainA", "mainB", "gen"}, {"mainA", "mainB", "gen"}),
    ],
)
def test_who_has_a_supply(state: State, panel: set[str], own: set[str]) -> None:
    for wiring, expected in ((ORIGINAL_WIRING, panel), (OWN_WIRING, own)):
        house = SimulatedHouse(wiring)
        if state is not State.UTILITY:  # it begins with this one
            house.state = state
        assert powered(house) == expected


@pytest.mark.parametrize(("wiring", "sees_utility"), [(ORIGINAL_WIRING, False), (OWN_WIRING, True)])
def test_returned_utility_is_seen_only_by_meters_fed_from_it(
    wiring: list[Wiring], sees_utility: bool
) -> None:
    house = SimulatedHouse(wiring, appliances=[Appliance(4800, 1.0, leg=0)], wild_start=False)
    house.state = State.GENERATOR
    house.state = State.UTILITY_BACK
    readings = shown(house)
    assert readings["mainA"].amps == 0
    assert readings["gen"].watts == pytest.approx(4800, rel=0.03)
    # the loaded generator turns at 58.8 Hz
    assert (readings["mainA"].hertz > 59.8) is sees_utility


def test_meters_are_wild_for_moments_after_an_outage() -> None:
    house = SimulatedHouse(seed=2, appliances=STEADY)
    shown(house)
    energy = {name: meter.energy_wh for name, meter in house.meters.items()}
    house.state = State.OUTAGE
    house.advance(600)
    assert {name: meter.energy_wh for name, meter in house.meters.items()} == energy
    house.state = State.UTILITY
    assert all(meter.displayed.watts > 5000 for meter in house.meters.values())
    after = list(seconds(house, 4))
    assert all(reading.watts > 5000 for reading in after[0].values())
    assert all(reading.watts < 3000 for reading in after[-1].values())
    # the counter is the meter's own and does not run wild
    assert all(meter.energy_wh < energy[name] + 4 for name, meter in house.meters.items())


def test_wild_values_lie_within_and_outside_the_ranges() -> None:
    volts = set()
    for seed in range(10):
        house = SimulatedHouse(seed=seed)
        house.state = State.OUTAGE
        house.state = State.UTILITY
        volts |= {meter.displayed.volts <= 260 for meter in house.meters.values()}
    assert volts == {True, False}


def test_wild_start_can_be_switched_off() -> None:
    house = SimulatedHouse(wild_start=False, appliances=STEADY)
    house.state = State.OUTAGE
    house.state = State.UTILITY
    assert all(meter.displayed.watts < 3000 for meter in house.meters.values())


def test_energy_is_displayed_power_times_time() -> None:
    house = SimulatedHouse(energy_wh=1000.0, seed=4)
    watt_seconds = sum(readings["mainA"].watts for readings in seconds(house, HOUR_S))
    meter = house.meters["mainA"]
    assert meter.energy_wh == pytest.approx(1000 + watt_seconds / 3600)
    assert meter.displayed.energy_wh == int(meter.energy_wh)


def test_ordered_load_is_shared_by_the_legs_or_put_on_one() -> None:
    house = SimulatedHouse(appliances=())
    house.add_load(2000)
    assert {name: round(r.watts, -2) for name, r in shown(house).items()} == {
        "mainA": 1000,
        "mainB": 1000,
        "gen": 0,
    }
    house.add_load(3000, "B")
    assert round(shown(house)["mainA"].watts, -2) == 1000
    assert round(shown(house)["mainB"].watts, -2) == 3000
    with pytest.raises(ValueError, match="there is no leg 'C'; there are: A, B"):
        house.add_load(1, "C")


def test_one_meter_in_a_230_volt_house_without_a_generator() -> None:
    house = SimulatedHouse([Wiring("main", 1, "utility")], volts=230, hertz=50, appliances=STEADY)
    reading = shown(house)["main"]
    assert reading.watts == pytest.approx(1200 + 600 + 2400, rel=0.03)
    assert reading.volts == pytest.approx(230, abs=2)
    assert reading.hertz == pytest.approx(50, abs=0.1)


def test_three_phases_and_a_circuit() -> None:
    mains = [Wiring(f"main{leg}", n, "utility", leg) for n, leg in enumerate("ABC", start=1)]
    house = SimulatedHouse([*mains, Wiring("oven", 9, "circuit", "A")], appliances=())
    house.add_load(3000)
    watts = {name: round(reading.watts, -1) for name, reading in shown(house).items()}
    assert watts["oven"] == pytest.approx(250, abs=10)
    assert [watts[f"main{leg}"] for leg in "ABC"] == pytest.approx([1000] * 3, rel=0.03)


def test_below_its_starting_current_a_meter_shows_nothing() -> None:
    assert displayed(120.0, 2.3 + 0j, 60.0).amps == 0.0
    assert displayed(120.0, 2.5 + 0j, 60.0).watts == 2.5
    assert displayed(120.0, 0.3 + 3j, 60.0).watts == 0.0
