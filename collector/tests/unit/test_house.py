from __future__ import annotations

from dataclasses import replace

import pytest

from houses import Slots
from pzem.config import MeterSettings
from pzem.house import House, SupplyState, derive
from pzem.meter import NO_PORT, NOT_ASKED, Faulty, Outcome, Silent
from pzem.registers import Reading

PANEL = (
    MeterSettings("mainA", 4, "utility", "A", "panel_a"),
    MeterSettings("mainB", 5, "utility", "B", "panel_b"),
    MeterSettings("gen", 6, "generator", None, "panel_a"),
)
OWN = tuple(MeterSettings(m.name, m.address, m.supply, m.leg, "own") for m in PANEL)
SILENT = Silent()
UNPLUGGED = Silent(NO_PORT)
FAULTY = Faulty("bad_crc")


def shows(amps: float) -> Reading:
    return Reading(120.0, amps, 120.0 * amps, 1000.0, 60.0, 1.0 if amps else 0.0, alarm=False)


IDLE = shows(0.0)


@pytest.mark.parametrize(
    ("meters", "outcomes", "expected"),
    [
        pytest.param(
            PANEL,
            (shows(5), shows(3), IDLE),
            SupplyState(960.0, 960.0, utility_on=True, generator_on=False),
            id="panel: utility carries, generator idle",
        ),
        pytest.param(
            PANEL,
            (IDLE, IDLE, shows(8)),
            SupplyState(960.0, 960.0, utility_on=False, generator_on=True),
            id="panel: on the generator the mains show volts at 0 A",
        ),
        pytest.param(
            PANEL,
            (IDLE, IDLE, IDLE),
            SupplyState(0.0, 0.0, utility_on=None, generator_on=None),
            id="panel: no current anywhere hides which supply it is",
        ),
        pytest.param(
            PANEL,
            (shows(5), SILENT, IDLE),
            SupplyState(None, None, utility_on=True, generator_on=False),
            id="panel: no sum with a meter missing",
        ),
        pytest.param(
            PANEL,
            (shows(5), FAULTY, IDLE),
            SupplyState(None, None, utility_on=True, generator_on=False),
            id="panel: no sum with a meter faulty",
        ),
        pytest.param(
            PANEL,
            (shows(5), shows(3), SILENT),
            SupplyState(960.0, 960.0, utility_on=True, generator_on=None),
            id="panel: a mute generator meter beside a live panel is not a dead generator",
        ),
        pytest.param(
            PANEL,
            (SILENT, SILENT, SILENT),
            SupplyState(None, None, utility_on=False, generator_on=False),
            id="panel: all dark, adapters there",
        ),
        pytest.param(
            PANEL,
            (UNPLUGGED, UNPLUGGED, UNPLUGGED),
            SupplyState(None, None, utility_on=None, generator_on=None),
            id="panel: no adapters, nothing known",
        ),
        pytest.param(
            PANEL,
            (IDLE, SILENT, IDLE),
            SupplyState(None, None, utility_on=None, generator_on=None),
            id="panel: what the mute meter measures may carry the house",
        ),
        pytest.param(
            PANEL,
            (SILENT, SILENT, shows(8)),
            SupplyState(960.0, 960.0, utility_on=None, generator_on=True),
            id="panel: mains mute, generator counts alone",
        ),
        pytest.param(
            PANEL,
            (shows(0.03), IDLE, shows(8)),
            SupplyState(960.0, 960.0, utility_on=False, generator_on=True),
            id="panel: little current on the idle supply is noise",
        ),
        pytest.param(
            OWN,
            (shows(5), shows(3), SILENT),
            SupplyState(960.0, 960.0, utility_on=True, generator_on=False),
            id="own: generator stopped",
        ),
        pytest.param(
            OWN,
            (SILENT, SILENT, shows(8)),
            SupplyState(960.0, 960.0, utility_on=False, generator_on=True),
            id="own: outage, on the generator",
        ),
        pytest.param(
            OWN,
            (IDLE, IDLE, shows(8)),
            SupplyState(960.0, 960.0, utility_on=True, generator_on=True),
            id="own: utility is back, interlock still on the generator",
        ),
        pytest.param(
            OWN,
            (SILENT, SILENT, SILENT),
            SupplyState(None, None, utility_on=False, generator_on=False),
            id="own: outage, no generator",
        ),
        pytest.param(
            OWN,
            (SILENT, UNPLUGGED, SILENT),
            SupplyState(None, None, utility_on=None, generator_on=False),
            id="own: an unplugged meter proves nothing",
        ),
        pytest.param(
            OWN,
            (IDLE, IDLE, SILENT),
            SupplyState(0.0, 0.0, utility_on=True, generator_on=False),
            id="own: live and idle",
        ),
        pytest.param(
            PANEL[:1],
            (IDLE,),
            SupplyState(0.0, 0.0, utility_on=True, generator_on=None),
            id="one meter, no generator: its voltage is the utility's",
        ),
        pytest.param(
            (MeterSettings("oven", 9, "circuit"),),
            (shows(8),),
            SupplyState(None, None, utility_on=None, generator_on=None),
            id="sub-meters say nothing of the house",
        ),
        pytest.param(
            (*PANEL, MeterSettings("oven", 9, "circuit", None, "panel_a")),
            (shows(5), shows(3), IDLE, shows(2)),
            SupplyState(960.0, 960.0, utility_on=True, generator_on=False),
            id="sub-meters are never part of the sum",
        ),
    ],
)
def test_what_the_wiring_can_show(
    meters: tuple[MeterSettings, ...], outcomes: tuple[Outcome, ...], expected: SupplyState
) -> None:
    answers = {meter.name: outcome for meter, outcome in zip(meters, outcomes, strict=True)}
    assert replace(derive(meters, answers), in_use=None) == expected


def outcomes(*three: Outcome) -> dict[str, Outcome]:
    return dict(zip((meter.name for meter in PANEL), three, strict=True))


NOISE = shows(0.03)


def test_noise_is_no_house_while_the_supply_that_carried_it_is_not_read() -> None:
    slots = Slots(House(PANEL), PANEL)
    assert slots.take((NOISE, IDLE, shows(8))).supply.in_use == "generator"
    state = slots.take((NOISE, IDLE, FAULTY)).supply
    assert state == SupplyState(None, None, utility_on=None, generator_on=None)
    assert slots.take((NOISE, IDLE, shows(8))).supply.watts == 960.0


def test_a_mute_generator_meter_hides_no_utility() -> None:
    slots = Slots(House(PANEL), PANEL)
    for _ in range(3):
        state = slots.take((shows(5), shows(3), SILENT)).supply
        assert (state.in_use, state.watts) == ("utility", 960.0)


def test_after_a_dark_moment_either_supply_may_carry_the_house() -> None:
    slots = Slots(House(PANEL), PANEL)
    slots.take((IDLE, IDLE, shows(8)))
    slots.take((SILENT, SILENT, SILENT), seconds=60)
    assert slots.take((shows(5), shows(3), FAULTY)).supply.in_use == "utility"


def test_what_was_not_asked_is_not_dark() -> None:
    state = derive(PANEL, outcomes(*[Silent(NOT_ASKED)] * 3))
    assert (state.utility_on, state.generator_on) == (None, None)
