"""Which supply carries the house, over time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from houses import (
    BOTH,
    DARK,
    FAULTY,
    GENERATOR,
    GENERATOR_ONLY,
    IDLE,
    ONE_LEG,
    OVEN,
    OWN,
    PANEL,
    SILENT,
    THREE_PHASES,
    UTILITY,
    Life,
    moment,
    outcomes,
    settings_of,
    shows,
)
from pzem.config import MeterSettings
from pzem.house import Sample, SupplyState, derive
from pzem.house.supply import Supplies, is_interlocked
from pzem.meter import NO_ANSWER_YET, NO_PORT, Faulty, Outcome, Silent
from pzem.moment import Moment
from pzem.registers import Reading
from pzem.settling import SETTLING
from pzem.testing import ORIGINAL_WIRING, SimulatedHouse, State, Wiring

MIXED = (*OWN[:2], PANEL[2])
UNPLUGGED = Silent(NO_PORT)
QUIET = (IDLE, IDLE, IDLE)
NOT_KNOWN = SupplyState(None, None, None, None)


class Watched:
    """A house whose supply is followed, five seconds a slot."""

    def __init__(self, meters: Sequence[MeterSettings], interval_s: float = 5.0) -> None:
        self._meters = meters
        self._interval_s = interval_s
        self._supplies = Supplies(meters, interval_s)
        self.slot = 0
        self.boot = "boot"

    def take(self, shown: Sequence[Outcome], slots: int = 1) -> SupplyState:
        for _ in range(slots):
            at = moment(self.slot, self._interval_s, self.boot)
            state = self._supplies.take(Sample(at, outcomes(self._meters, shown)))
            self.slot += 1
        return state


def in_use(state: SupplyState) -> tuple[str | None, bool, bool | None, bool | None]:
    return state.in_use, state.held, state.utility_on, state.generator_on


@pytest.mark.parametrize(
    ("meters", "shown", "expected"),
    [
        (PANEL, UTILITY, "utility"),
        (PANEL, GENERATOR, "generator"),
        (PANEL, BOTH, "both"),
        (PANEL, DARK, "none"),
        (PANEL, QUIET, None),
        (PANEL, (SILENT, shows(3), SILENT), "utility"),
        (PANEL, (UNPLUGGED, UNPLUGGED, UNPLUGGED), None),
        (OWN, UTILITY, "utility"),
        (OWN, (shows(5), shows(3), SILENT), "utility"),
        (OWN, (SILENT, SILENT, shows(8)), "generator"),
        (OWN, (IDLE, IDLE, shows(8)), "generator"),
        (OWN, (IDLE, IDLE, SILENT), "utility"),
        (OWN, (SILENT, SILENT, IDLE), None),  # it runs, and is not switched over yet
        (OWN, DARK, "none"),
        (OWN, (SILENT, SILENT, UNPLUGGED), None),
        (OWN, (shows(5), shows(3), UNPLUGGED), None),  # it may carry a part, unseen
        (OWN, BOTH, "both"),
        (MIXED, GENERATOR, "generator"),
        (MIXED, (IDLE, IDLE, SILENT), "utility"),
        (ONE_LEG, (IDLE,), "utility"),
        (ONE_LEG, (SILENT,), "none"),
        (ONE_LEG, (FAULTY,), None),
        (ONE_LEG, (Faulty("settling", well_formed=True),), "utility"),
        (THREE_PHASES, (IDLE, SILENT, FAULTY), "utility"),
        (GENERATOR_ONLY, (shows(8),), "generator"),
        (GENERATOR_ONLY, (IDLE,), None),  # the volts may be those of a utility unmeasured
        ((OVEN,), (shows(8),), None),
    ],
)
def test_one_slot(
    meters: Sequence[MeterSettings], shown: Sequence[Outcome], expected: str | None
) -> None:
    assert derive(meters, outcomes(meters, shown)).in_use == expected


@pytest.mark.parametrize(
    ("shown", "last", "expected"),
    [
        # 0.15 A and 10 W begin to carry, 0.10 A and 5 W go on
        ((shows(0.14), IDLE, IDLE), None, None),
        ((shows(0.15), IDLE, IDLE), None, "utility"),
        ((shows(0.11), IDLE, IDLE), "utility", "utility"),
        # two per cent of the other supply's current are picked up from its wires
        ((shows(0.9), IDLE, shows(50)), None, "generator"),
        ((shows(1.1), IDLE, shows(50)), None, "both"),
        # so much current may be picked up from wires whose meter is not read
        ((shows(1.9), IDLE, FAULTY), None, None),
        ((shows(2.0), IDLE, FAULTY), None, "utility"),
        ((shows(1.9), IDLE, FAULTY), "utility", "utility"),
        ((shows(1.9), IDLE, FAULTY), "generator", None),
    ],
)
def test_thresholds_of_carrying(
    shown: Sequence[Outcome], last: str | None, expected: str | None
) -> None:
    assert derive(PANEL, outcomes(PANEL, shown), last).in_use == expected


def test_current_without_power_carries_nothing() -> None:
    stray = Reading(120.0, 0.5, 4.0, 1e3, 60.0, 0.07, alarm=False)
    assert derive(PANEL, outcomes(PANEL, (stray, IDLE, IDLE))).in_use is None
    assert derive(PANEL, outcomes(PANEL, (stray, IDLE, shows(8)))).in_use == "generator"


def test_current_that_trembles_around_the_threshold_does_not_flap() -> None:
    house = Watched(PANEL)
    house.take(UTILITY)
    seen = {house.take((shows(amps), IDLE, IDLE)).in_use for amps in (0.2, 0.14, 0.16, 0.11) * 5}
    assert seen == {"utility"}


@pytest.mark.parametrize("carrying", [UTILITY, GENERATOR])
def test_a_house_that_draws_nothing_has_not_changed_its_supply(
    carrying: Sequence[Outcome],
) -> None:
    house = Watched(PANEL)
    before = house.take(carrying)
    state = house.take(QUIET, slots=100)
    assert state.in_use == before.in_use
    assert state.held
    assert not before.held
    assert (state.utility_on, state.generator_on) == (before.utility_on, before.generator_on)
    assert (state.watts, state.volt_amps) == (0.0, 0.0)


def test_nothing_is_held_across_darkness() -> None:
    house = Watched(PANEL)
    house.take(GENERATOR)
    house.take(DARK)
    assert in_use(house.take(QUIET, slots=5)) == (None, False, None, None)


def test_nothing_is_held_across_a_time_in_which_no_slot_was_read() -> None:
    house = Watched(PANEL)
    house.take(GENERATOR)
    house.slot += 2  # two slots fell out
    assert house.take(QUIET).in_use == "generator"
    house.slot += 3
    assert house.take(QUIET).in_use is None


def test_nothing_is_held_across_a_boot() -> None:
    house = Watched(PANEL)
    house.take(GENERATOR)
    house.boot = "next boot"
    assert house.take(QUIET).in_use is None


def test_what_was_not_read_for_long_is_not_held() -> None:
    house = Watched(PANEL)
    house.take(UTILITY)
    house.take((FAULTY, FAULTY, IDLE), slots=12)
    assert house.take(QUIET).in_use == "utility"
    house.take((FAULTY, FAULTY, IDLE), slots=13)
    assert house.take(QUIET).in_use is None


def test_a_lost_reply_is_no_outage() -> None:
    house = Watched(ONE_LEG)
    assert in_use(house.take((shows(5),))) == ("utility", False, True, None)
    assert house.take((SILENT,), slots=2) == NOT_KNOWN
    assert in_use(house.take((SILENT,))) == ("none", False, False, None)


def test_silences_that_take_turns_are_no_outage() -> None:
    house = Watched(OWN)
    for _ in range(20):
        for shown in ((SILENT, IDLE, SILENT), (IDLE, SILENT, SILENT)):
            assert house.take(shown).utility_on is True


def test_noise_is_no_house_while_the_supply_that_carried_it_is_not_read() -> None:
    house, noise = Watched(PANEL), shows(0.03)
    assert house.take((noise, IDLE, shows(8))).in_use == "generator"
    assert house.take((noise, IDLE, FAULTY)) == NOT_KNOWN
    assert house.take((noise, IDLE, shows(8))).watts == 960.0


def test_a_mute_generator_meter_hides_no_utility() -> None:
    state = Watched(PANEL).take((shows(5), shows(3), SILENT), slots=3)
    assert (state.in_use, state.watts) == ("utility", 960.0)


def test_after_a_dark_moment_either_supply_may_carry_the_house() -> None:
    house = Watched(PANEL)
    house.take(GENERATOR)
    house.take(DARK)
    assert house.take((shows(5), shows(3), FAULTY)).in_use == "utility"


def test_silence_counts_from_before_its_adapter_was_proved_to_work() -> None:
    house = Watched(ONE_LEG)
    house.take((shows(5),))
    assert house.take((Silent(NO_ANSWER_YET),), slots=2) == NOT_KNOWN
    assert house.take((SILENT,)).in_use == "none"


def test_a_long_interval_is_sure_with_the_second_slot() -> None:
    house = Watched(ONE_LEG, interval_s=60)
    house.take((shows(5),))
    assert house.take((SILENT,)).utility_on is None
    assert house.take((SILENT,)).utility_on is False


@pytest.mark.parametrize("slots", [1, 2])
def test_switching_is_not_both(slots: int) -> None:
    house = Watched(PANEL)
    house.take(UTILITY)
    assert house.take(BOTH, slots) == NOT_KNOWN
    assert house.take(GENERATOR).in_use == "generator"


def test_both_behind_an_interlock_has_no_sum() -> None:
    state = Watched(PANEL).take(BOTH, slots=3)
    assert state == SupplyState(None, None, True, True, "both")


def test_both_without_an_interlock_are_added_up() -> None:
    house = Watched(OWN)
    # their voltage tells what is on from the first slot
    assert house.take(BOTH) == SupplyState(None, None, True, True)
    assert house.take(BOTH, slots=2) == SupplyState(1920.0, 1920.0, True, True, "both")
    assert house.take((shows(5), FAULTY, shows(8))).watts is None


def test_both_is_not_what_it_was_for_single_slots() -> None:
    house = Watched(PANEL)
    for _ in range(10):
        assert house.take(BOTH, slots=2).in_use is None
        assert house.take(UTILITY).in_use == "utility"


def test_a_generator_that_died_in_use_leaves_the_house_without_supply_known() -> None:
    house = Watched(OWN)
    house.take((SILENT, SILENT, shows(8)), slots=3)
    house.take((IDLE, IDLE, shows(8)))  # the utility is back
    house.take((IDLE, IDLE, SILENT), slots=100)
    state = house.take((IDLE, IDLE, SILENT))
    assert in_use(state) == (None, False, True, False)
    assert house.take((shows(5), IDLE, SILENT)).in_use == "utility"


def test_it_does_so_too_when_the_utility_returns_in_the_same_moment() -> None:
    house = Watched(OWN)
    house.take((SILENT, SILENT, shows(8)), slots=10)
    house.take((SETTLING, SETTLING, SILENT))
    assert house.take((IDLE, IDLE, SILENT), slots=10).in_use is None


def test_a_generator_that_idles_is_on_and_not_in_use() -> None:
    house = Watched(OWN)
    house.take((shows(5), shows(3), SILENT), slots=3)
    assert in_use(house.take((shows(5), shows(3), IDLE))) == ("utility", False, True, True)
    state = house.take((SILENT, SILENT, IDLE), slots=3)
    assert in_use(state) == (None, False, False, True)


def test_noise_on_an_idle_supply_is_no_sum_while_the_supply_is_not_known() -> None:
    noise = shows(0.03)
    assert Watched(PANEL).take((noise, IDLE, IDLE)).watts is None
    assert Watched(PANEL).take(QUIET).watts == 0.0


@pytest.mark.parametrize(
    ("meters", "interlocked"),
    [(PANEL, True), (OWN, False), (MIXED, True), (ONE_LEG, False), (THREE_PHASES, False)],
)
def test_an_interlock_is_where_two_supplies_meet_in_the_panel(
    meters: Sequence[MeterSettings], interlocked: bool
) -> None:
    assert is_interlocked(meters) is interlocked
    assert is_interlocked((*meters, OVEN)) is interlocked


ONE_MAIN = (Wiring("main", 1, "utility"),)
OWN_WIRING = tuple(Wiring(w.name, w.address, w.supply, w.leg, "own") for w in ORIGINAL_WIRING)
PHASES = tuple(Wiring(f"main{leg}", n, "utility", leg) for n, leg in enumerate("ABC", start=1))
OUTAGE = (State.UTILITY, State.OUTAGE, State.GENERATOR, State.UTILITY_BACK, State.UTILITY)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("wiring", "volts", "expected"),
    [
        pytest.param(
            ORIGINAL_WIRING,
            120.0,
            [
                ("utility", False, True, False),
                ("none", False, False, False),
                ("generator", False, False, True),
                ("generator", False, False, True),  # the utility's return cannot be seen
                ("utility", False, True, False),
            ],
            id="original",
        ),
        pytest.param(
            OWN_WIRING,
            120.0,
            [
                ("utility", False, True, False),
                ("none", False, False, False),
                ("generator", False, False, True),
                ("generator", False, True, True),
                ("utility", False, True, False),
            ],
            id="own",
        ),
        pytest.param(
            (*ORIGINAL_WIRING, Wiring("oven", 9, "circuit", "A", "panel_a")),
            120.0,
            [
                ("utility", False, True, False),
                ("none", False, False, False),
                ("generator", False, False, True),
                ("generator", False, False, True),
                ("utility", False, True, False),
            ],
            id="with a sub-meter",
        ),
        pytest.param(
            PHASES,
            230.0,
            [
                ("utility", False, True, None),
                ("none", False, False, None),
            ],
            id="three phases",
        ),
        pytest.param(
            ONE_MAIN,
            230.0,
            [
                ("utility", False, True, None),
                ("none", False, False, None),
            ],
            id="one leg",
        ),
    ],
)
def test_an_outage_in_a_simulated_house(
    wiring: Sequence[Wiring],
    volts: float,
    expected: list[tuple[str | None, bool, bool | None, bool | None]],
    seed: int,
) -> None:
    house = SimulatedHouse(wiring, volts=volts, seed=seed)
    life = Life(house)
    supplies = Supplies(settings_of(wiring), 5)
    slot = 0
    for state, wanted in zip(OUTAGE, expected, strict=False):
        if state is not house.state:
            house.state = state
        seen = []
        for _ in range(120):
            heard = life.heard()
            found = supplies.take(Sample(moment(slot), heard))
            slot += 1
            seen.append(in_use(found))
            _sum_is_whole(found, wiring, heard)
        # within 15 s it is known, and until then at most unknown
        assert set(seen[3:]) == {wanted}
        assert {use for use, *_ in seen[:3]} <= {wanted[0], None}


def _sum_is_whole(found: SupplyState, wiring: Sequence[Wiring], heard: dict[str, Outcome]) -> None:
    if found.watts is not None:
        counting = [heard[w.name] for w in wiring if w.supply == found.in_use]
        assert found.watts == pytest.approx(
            sum(r.watts for r in counting if isinstance(r, Reading)), abs=1e-3
        )
        assert all(isinstance(outcome, Reading) for outcome in counting)


def test_time_that_goes_back_forgets() -> None:
    supplies = Supplies(PANEL, 5)
    supplies.take(Sample(Moment(1000, 500.0, "boot"), outcomes(PANEL, GENERATOR)))
    state = supplies.take(Sample(Moment(1005, 400.0, "boot"), outcomes(PANEL, QUIET)))
    assert state.in_use is None


def test_the_wall_clock_does_not_matter() -> None:
    supplies = Supplies(PANEL, 5)
    for slot, unix_s in enumerate((1000, 5_000_000, 20)):
        at = Moment(unix_s, 100.0 + 5 * slot, "boot", is_true=slot == 1)
        shown = GENERATOR if slot == 0 else QUIET
        assert supplies.take(Sample(at, outcomes(PANEL, shown))).in_use == "generator"
