from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest

from ledger_world import OWN, PANEL, STARTS_S, T0, Row, World
from pzem.config import MeterSettings
from pzem.house.outages import CARD_WAIT_S, SAVE_OPEN_S

HOUR = 3600
GENERATOR_W = 1800.0
SETTLES_S = 5
"""A meter that comes back is not believed in its first slot."""


@pytest.fixture
def panel(tmp_path: Path) -> World:
    """The original wiring, with an hour behind it in which the utility carried the house."""
    return at_rest(World(tmp_path, PANEL))


@pytest.fixture
def own(tmp_path: Path) -> World:
    """The same with meters that get their supply from what they measure."""
    return at_rest(World(tmp_path, OWN))


def at_rest(world: World) -> World:
    world.start()
    world.run(HOUR)
    return world


def utility_fails(world: World) -> None:
    world.legs = dict.fromkeys(world.legs)


def utility_returns(world: World) -> None:
    world.legs = {"mainA": 600.0, "mainB": 360.0}


def to_generator(world: World) -> None:
    world.generator, world.on_generator = GENERATOR_W, True


def to_utility(world: World) -> None:
    world.on_generator = False


@dataclasses.dataclass(frozen=True)
class Story:
    """What was done to the house, in true time."""

    world: World
    at_first: Row
    failed_s: int
    picked_up_s: int
    last_s: int
    back_s: int
    used_wh: float


class TestOriginalWiring:
    @pytest.fixture
    def story(self, panel: World) -> Story:
        """Power fails and the Pi with it; it wakes on the generator and knows no time for
        20 minutes; half a second of darkness at the interlock restarts it once more.
        """
        failed_s, register_wh = panel.now_s, panel.register_wh
        utility_fails(panel)
        panel.kill()
        panel.run(600)
        picked_up_s = panel.now_s
        to_generator(panel)
        panel.boot(clock_is_true=False, clock_off_s=-600)
        panel.register_wh += GENERATOR_W * STARTS_S / HOUR
        assert panel.ledger is not None
        panel.ledger.recalled(failed_s)
        panel.run(20 * 60)
        (at_first,) = panel.of("outage")
        panel.synchronise()
        panel.run(2 * HOUR - 20 * 60 - STARTS_S)
        used_wh, last_s = panel.register_wh - register_wh, panel.now_s
        utility_returns(panel)
        to_utility(panel)
        panel.kill()
        panel.now_s += 15
        back_s = panel.now_s
        panel.boot(clock_is_true=False, clock_off_s=-5)
        assert panel.ledger is not None
        panel.ledger.recalled(last_s)
        panel.run(60)
        panel.synchronise()
        panel.run(60)
        return Story(panel, at_first, failed_s, picked_up_s, last_s, back_s, used_wh)

    def test_while_it_goes_on_only_what_can_be_dated_is_told(self, story: Story) -> None:
        outage = story.at_first
        assert outage["open"] == 1.0
        assert outage["time"] == outage["began_at"] == story.failed_s
        assert not {"generator_at", "not_after", "back_at", "seconds"} & outage.keys()

    def test_one_record_tells_the_whole_outage(self, story: Story) -> None:
        (outage,) = story.world.of("outage")
        assert outage == {
            "time": story.failed_s,
            "open": 0.0,
            "evidence": "generator in use",
            "began_at": story.failed_s,
            "not_before": story.failed_s,
            "not_after": story.picked_up_s + STARTS_S + 5,
            "generator_at": story.picked_up_s,
            "generator_wh": pytest.approx(story.used_wh, abs=1),
            "peak_watts": GENERATOR_W,
            "peak_volt_amps": GENERATOR_W,
            "running_s": 2 * HOUR,
            "back_at": story.back_s,
            "back_not_before": story.last_s,
            "back_not_after": story.back_s + STARTS_S + 5,
            "seconds": story.back_s - story.failed_s,
            "pi_off_count": 2.0,
            "pi_off_s": 615.0,
            "pi_off_from": story.failed_s,
            "pi_off_to": story.picked_up_s,
            "estimated": "back_at began_at generator_at running_s seconds",
            "provisional": 0.0,
        }

    def test_each_absence_of_the_pi_is_recorded(self, story: Story) -> None:
        first, second = story.world.of("pi_off")
        assert first == {
            "time": story.failed_s,
            "began_at": story.failed_s,
            "ended_at": story.picked_up_s,
            "seconds": 600.0,
            "clean": 0.0,
            "cause": "outage",
            "generator_wh": pytest.approx(GENERATOR_W * STARTS_S / HOUR, abs=3),
            "estimated": "nothing",
            "provisional": 0.0,
        }
        assert (second["time"], second["ended_at"]) == (story.last_s, story.back_s)
        assert (second["cause"], second["seconds"]) == ("outage", 15)

    def test_the_run_and_the_switches_are_recorded(self, story: Story) -> None:
        (run,) = story.world.of("generator_run")
        assert (run["began_at"], run["ended_at"]) == (story.picked_up_s, story.last_s)
        assert run["seconds"] == run["running_s"] == 2 * HOUR
        assert run["open"] == 0.0
        assert "exercise" not in run  # for all that can be seen it may have been one
        assert run["generator_wh"] == pytest.approx(story.used_wh, abs=1)
        assert [(row["before"], row["after"], row["time"]) for row in story.world.of("supply")] == [
            ("utility", "generator", story.picked_up_s),
            ("generator", "utility", story.back_s),
        ]

    def test_utility_before_and_after_the_dark_is_no_more_than_a_pi_that_was_off(
        self, panel: World
    ) -> None:
        failed_s = panel.now_s
        panel.kill()
        panel.run(900)
        panel.boot()
        assert panel.ledger is not None
        panel.ledger.recalled(failed_s)
        panel.run(300)
        assert panel.of("outage") == []
        (off,) = panel.of("pi_off")
        assert (off["time"], off["seconds"], off["cause"]) == (failed_s, 900, "unknown")
        assert "generator_wh" not in off

    def test_an_outage_soon_after_the_installation(self, tmp_path: Path) -> None:
        """Somebody tries it: the main breaker off, then the generator."""
        world = World(tmp_path, PANEL)
        world.start()
        world.run(300)
        failed_s = world.now_s
        utility_fails(world)
        world.kill()
        world.run(600)
        to_generator(world)
        world.boot()
        assert world.ledger is not None
        world.ledger.recalled(failed_s)
        world.run(60)
        (outage,) = world.of("outage")
        assert outage["began_at"] == failed_s

    def test_energy_of_the_generator_shows_in_an_absence(self, panel: World) -> None:
        panel.kill()
        panel.register_wh += 700
        panel.run(900)
        panel.boot()
        panel.run(300)
        (off,) = panel.of("pi_off")
        assert off["generator_wh"] == 700
        assert off["cause"] == "unknown"
        assert panel.of("outage") == panel.of("generator_run") == []

    def test_noise_of_an_idle_meter_is_no_energy(self, panel: World) -> None:
        panel.kill()
        panel.register_wh += 10
        panel.boot()
        panel.run(300)
        assert "generator_wh" not in panel.of("pi_off")[0]

    def test_a_pi_with_a_battery_sees_the_dark_itself(self, panel: World) -> None:
        failed_s = panel.now_s
        utility_fails(panel)
        panel.run(300)
        assert panel.of("outage")[0]["lost"] == "panel dark"
        to_generator(panel)
        panel.run(600)
        utility_returns(panel)
        to_utility(panel)
        panel.run(300)
        (outage,) = panel.of("outage")
        assert outage["began_at"] == failed_s + 5
        assert outage["not_before"] == failed_s
        assert outage["lost"] == "panel dark"
        assert outage["evidence"] == "generator in use, silent meters"
        assert outage["generator_at"] == failed_s + 305 + SETTLES_S
        assert outage["back_at"] == failed_s + 905
        assert outage["seconds"] == 900
        assert outage["running_s"] == 600 - SETTLES_S
        assert outage["estimated"] == "nothing"
        assert "pi_off_s" not in outage

    def test_one_dark_panel_is_told_by_its_name(self, panel: World) -> None:
        panel.dark_panels = {"panel_a"}
        panel.run(60)
        panel.dark_panels = set()
        panel.run(60)
        (outage,) = panel.of("outage")
        assert (outage["lost"], outage["evidence"]) == ("panel_a dark", "silent meters")
        assert outage["seconds"] == 60

    def test_one_mute_meter_of_a_panel_is_no_outage(self, panel: World) -> None:
        panel.dark_panels = {"panel_b"}
        panel.run(600)
        assert panel.of("outage") == []

    def test_meters_without_adapters_show_nothing(self, panel: World) -> None:
        panel.unplugged = {"mainA", "mainB", "gen"}
        panel.run(600)
        assert panel.rows == {}

    def test_a_collector_that_starts_late_estimates_no_pick_up_by_the_boot(
        self, panel: World
    ) -> None:
        utility_fails(panel)
        panel.kill()
        panel.run(600)
        to_generator(panel)
        panel.boots += 1
        panel.boot_s = panel.now_s
        panel.run(HOUR)
        panel.start()
        panel.run(300)
        utility_returns(panel)
        to_utility(panel)
        panel.run(60)
        (outage,) = panel.of("outage")
        assert outage["generator_at"] == outage["not_after"] == panel.boot_s + HOUR + 5
        assert outage["running_s"] == 300
        assert "running_s" not in outage["estimated"]
        (run,) = panel.of("generator_run")
        assert run["began_at"] == panel.boot_s + HOUR + 5
        assert run["estimated"] == "began_at seconds"

    def test_a_generator_that_is_filled_up_stays_one_outage(self, panel: World) -> None:
        utility_fails(panel)
        panel.kill()
        panel.run(600)
        to_generator(panel)
        panel.boot()
        panel.run(HOUR)
        panel.kill()
        panel.generator = None
        panel.run(600)
        panel.generator = GENERATOR_W
        panel.boot()
        panel.run(HOUR)
        (outage,) = panel.of("outage")
        assert outage["open"] == 1.0
        assert outage["pi_off_count"] == 2
        (run,) = panel.of("generator_run")
        assert run["pi_off_s"] > 600  # told from the file: up to five minutes more
        utility_returns(panel)
        to_utility(panel)
        panel.run(60)
        (outage,) = panel.of("outage")
        assert outage["running_s"] == pytest.approx(2 * HOUR, abs=300 + STARTS_S * 2)
        assert outage["generator_wh"] == pytest.approx(2 * GENERATOR_W, abs=GENERATOR_W / 60)


class TestOwnWiring:
    def test_voltage_tells_everything(self, own: World) -> None:
        failed_s = own.now_s
        utility_fails(own)
        own.run(60)
        to_generator(own)
        own.run(HOUR)
        utility_returns(own)
        own.run(600)
        assert own.of("outage")[0]["open"] == 1.0  # it is back, but the house is not
        to_utility(own)
        own.generator = None
        own.run(60)
        (outage,) = own.of("outage")
        assert (outage["lost"], outage["evidence"]) == ("utility", "voltage")
        assert outage["began_at"] == failed_s + 5
        assert outage["generator_at"] == failed_s + 65 + SETTLES_S
        assert outage["utility_at"] == failed_s + 60 + HOUR + 5
        assert outage["back_at"] == failed_s + 60 + HOUR + 605
        assert outage["seconds"] == HOUR + 660
        assert outage["running_s"] == pytest.approx(HOUR + 600, abs=10)
        assert outage["estimated"] == "nothing"

    @pytest.mark.parametrize("both_s", [5, 600])
    def test_a_generator_that_runs_dry_leaves_the_house_on_it(
        self, own: World, both_s: int
    ) -> None:
        utility_fails(own)
        own.run(60)
        to_generator(own)
        own.run(HOUR)
        utility_returns(own)
        own.run(both_s)
        dry_s, own.generator = own.now_s, None
        own.run(4 * HOUR)
        assert own.of("outage")[0]["open"] == 1.0
        to_utility(own)
        own.run(60)
        (outage,) = own.of("outage")
        assert outage["back_at"] == dry_s + 4 * HOUR + 5
        assert dry_s - 5 <= outage["back_not_before"] <= dry_s
        assert outage["estimated"] == "back_at seconds"

    def test_one_leg(self, own: World) -> None:
        own.legs["mainA"] = None
        own.run(120)
        own.legs["mainA"] = 600.0
        own.run(120)
        (outage,) = own.of("outage")
        assert (outage["lost"], outage["seconds"]) == ("utility leg A", 120)

    def test_one_leg_and_then_the_other(self, own: World) -> None:
        own.legs["mainA"] = None
        own.run(120)
        utility_fails(own)
        own.run(120)
        utility_returns(own)
        own.run(120)
        (outage,) = own.of("outage")
        assert (outage["lost"], outage["seconds"]) == ("utility", 240)

    def test_a_leg_without_a_letter_goes_by_its_meter(self, tmp_path: Path) -> None:
        meters = [dataclasses.replace(meter, leg=None) for meter in OWN]
        world = at_rest(World(tmp_path, meters))
        world.legs["mainB"] = None
        world.run(60)
        assert world.of("outage")[0]["lost"] == "utility mainB"

    def test_a_pi_that_was_off_finds_the_utility_dead(self, own: World) -> None:
        last_s = own.now_s
        own.kill()
        utility_fails(own)
        own.run(300)
        to_generator(own)
        own.boot()
        assert own.ledger is not None
        own.ledger.recalled(last_s)
        own.run(300)
        (outage,) = own.of("outage")
        assert outage["began_at"] == last_s
        assert outage["evidence"] == "voltage"
        assert own.of("pi_off")[0]["cause"] == "outage"

    def test_without_a_generator(self, tmp_path: Path) -> None:
        world = at_rest(World(tmp_path, [MeterSettings("mainA", 1, "utility")]))
        utility_fails(world)
        world.run(60)
        utility_returns(world)
        world.run(60)
        (outage,) = world.of("outage")
        assert (outage["lost"], outage["seconds"]) == ("panel dark", 60)
        assert not {"generator_wh", "running_s", "peak_watts"} & outage.keys()


class TestRuns:
    def test_an_exercise_of_the_generator_while_the_utility_is_there(self, own: World) -> None:
        begin_s = own.now_s
        register_wh = own.register_wh
        to_generator(own)
        own.run(HOUR)
        used_wh = own.register_wh - register_wh
        to_utility(own)
        own.generator = None
        own.run(60)
        assert own.of("outage") == []
        (run,) = own.of("generator_run")
        assert run["exercise"] == 1.0
        assert run["time"] == begin_s + 5
        unseen_wh = GENERATOR_W * (5 + SETTLES_S) / HOUR  # nobody has seen the register before
        assert run["generator_wh"] == pytest.approx(used_wh - unseen_wh, abs=1)
        assert run["peak_watts"] == GENERATOR_W
        assert run["seconds"] == pytest.approx(HOUR, abs=15)
        assert ("generator_run", "gen", begin_s + 5) in own.rows

    def test_behind_the_interlock_it_is_told_by_the_generator_alone(self, panel: World) -> None:
        to_generator(panel)
        panel.run(HOUR)
        (outage,) = panel.of("outage")
        assert outage["evidence"] == "generator in use"
        assert "lost" not in outage  # it may be an exercise
        to_utility(panel)
        panel.generator = None
        panel.run(60)
        (outage,), (run,) = panel.of("outage"), panel.of("generator_run")
        assert outage["seconds"] == run["seconds"] == HOUR
        assert "lost" not in outage
        assert "exercise" not in run

    def test_an_outage_that_comes_in_an_exercise_ends_the_exercise(self, own: World) -> None:
        to_generator(own)
        own.run(HOUR)
        assert own.of("generator_run")[0]["exercise"] == 1.0
        utility_fails(own)
        own.run(300)
        assert own.of("generator_run")[0]["exercise"] == 0.0
        utility_returns(own)
        own.run(300)
        assert own.of("generator_run")[0]["exercise"] == 0.0

    def test_one_leg_with_a_supply_of_its_own_tells_of_itself(self, tmp_path: Path) -> None:
        world = at_rest(World(tmp_path, (OWN[0], *PANEL[1:])))
        utility_fails(world)
        world.run(60)
        to_generator(world)
        world.run(300)
        (outage,) = world.of("outage")
        assert outage["lost"] == "panel dark"
        assert outage["evidence"] == "generator in use, silent meters, voltage"

    def test_a_generator_that_takes_over_at_once_leaves_the_leg_that_is_seen(
        self, tmp_path: Path
    ) -> None:
        world = at_rest(World(tmp_path, (OWN[0], *PANEL[1:])))
        utility_fails(world)
        to_generator(world)
        world.run(300)
        (outage,) = world.of("outage")
        assert outage["lost"] == "utility leg A"
        assert outage["evidence"] == "generator in use, voltage"

    def test_two_generators_are_one_supply_without_a_name(self, tmp_path: Path) -> None:
        meters = [*OWN, dataclasses.replace(OWN[2], name="gen2", address=7)]
        world = at_rest(World(tmp_path, meters))
        to_generator(world)
        world.run(60)
        (run,) = world.of("generator_run")
        assert run["peak_watts"] == 2 * GENERATOR_W
        assert [key[1] for key in world.rows if key[0] == "generator_run"] == [None]
        world.unplugged = {"gen2"}
        world.generator = 2000.0
        world.run(300)
        to_utility(world)
        world.generator = None
        world.unplugged = set()
        world.run(60)
        (run,) = world.of("generator_run")
        assert run["peak_watts"] == 2 * GENERATOR_W  # half a sum is none


class TestFlickers:
    @pytest.mark.parametrize("slots", [0, 1, 2])
    def test_a_flicker_is_no_outage(self, own: World, slots: int) -> None:
        utility_fails(own)
        own.run(5 * slots)
        utility_returns(own)
        own.run(300)
        assert own.rows == {}

    def test_what_lasts_is_recorded_from_its_first_slot(self, own: World) -> None:
        failed_s = own.now_s
        utility_fails(own)
        own.run(15)
        utility_returns(own)
        own.run(60)
        (outage,) = own.of("outage")
        assert (outage["began_at"], outage["seconds"]) == (failed_s + 5, 15)

    @pytest.mark.parametrize("proof_slots", [0, 2])
    @pytest.mark.parametrize("dark_s", [20, 25, 30, 40])
    @pytest.mark.parametrize("wiring", ["panel", "own", "one leg"])
    def test_a_short_one_is_recorded_by_a_pi_with_a_battery(
        self, tmp_path: Path, wiring: str, dark_s: int, proof_slots: int
    ) -> None:
        """Whether the meters share an adapter, or each has to prove its own."""
        meters = {"panel": PANEL, "own": OWN, "one leg": PANEL[:1]}[wiring]
        world = at_rest(World(tmp_path, meters))
        world.proof_slots = proof_slots
        failed_s = world.now_s
        utility_fails(world)
        world.run(dark_s)
        utility_returns(world)
        world.run(60)
        (outage,) = world.of("outage")
        assert (outage["began_at"], outage["not_before"]) == (failed_s + 5, failed_s)
        # Behind the panel the house is seen only once its meters have settled.
        settles_s = SETTLES_S if wiring == "panel" else 0
        assert outage["back_at"] == failed_s + dark_s + 5 + settles_s
        assert outage["back_not_before"] == failed_s + dark_s
        assert outage["seconds"] == dark_s + settles_s
        assert outage["estimated"] == "nothing"

    @pytest.mark.parametrize("proof_slots", [0, 2])
    def test_a_generator_that_takes_over_by_itself(self, panel: World, proof_slots: int) -> None:
        panel.proof_slots = proof_slots
        failed_s = panel.now_s
        utility_fails(panel)
        panel.run(30)
        to_generator(panel)
        panel.run(600)
        utility_returns(panel)
        to_utility(panel)
        panel.generator = None
        panel.run(60)
        (outage,) = panel.of("outage")
        assert (outage["lost"], outage["began_at"]) == ("panel dark", failed_s + 5)
        assert outage["generator_at"] == failed_s + 30 + 5 + SETTLES_S
        assert outage["back_at"] == failed_s + 30 + 600 + 5
        (run,) = panel.of("generator_run")
        assert run["exercise"] == 0.0

    def test_one_leg_is_recorded_from_its_first_silence(self, own: World) -> None:
        own.proof_slots = 2
        failed_s = own.now_s
        own.legs["mainA"] = None
        own.run(20)
        own.legs["mainA"] = 600.0
        own.run(60)
        (outage,) = own.of("outage")
        assert (outage["began_at"], outage["not_before"]) == (failed_s + 5, failed_s)
        assert outage["lost"] == "utility leg A"

    def test_the_time_that_comes_within_an_outage_dates_its_beginning(self, own: World) -> None:
        own.kill()
        own.boot(clock_is_true=False, clock_off_s=-600)
        own.run(60)
        own.proof_slots = 2
        failed_s = own.now_s
        utility_fails(own)
        own.run(10)
        own.synchronise()
        own.run(60)
        (outage,) = own.of("outage")
        assert (outage["began_at"], outage["provisional"]) == (failed_s + 5, 0.0)

    @pytest.mark.parametrize("interval_s", [1, 5, 15, 60])
    def test_it_is_the_same_at_any_interval(self, tmp_path: Path, interval_s: int) -> None:
        world = at_rest(World(tmp_path, OWN, interval_s))
        failed_s = world.now_s
        utility_fails(world)
        world.run(120)
        to_generator(world)
        world.run(HOUR)
        utility_returns(world)
        to_utility(world)
        world.generator = None
        world.run(300)
        (outage,) = world.of("outage")
        assert outage["began_at"] == failed_s + interval_s
        assert outage["seconds"] == HOUR + 120
        assert outage["running_s"] == pytest.approx(HOUR, abs=2 * max(interval_s, 10))
        assert outage["estimated"] == "nothing"

    def test_a_short_return_does_not_end_it(self, own: World) -> None:
        utility_fails(own)
        own.run(300)
        utility_returns(own)
        own.run(5)
        utility_fails(own)
        own.run(300)
        utility_returns(own)
        own.run(60)
        (outage,) = own.of("outage")
        assert outage["seconds"] == 605

    def test_what_was_seen_long_ago_confirms_nothing(self, own: World) -> None:
        utility_fails(own)
        own.run(5)
        own.unplugged = {"mainA", "mainB"}
        own.run(600)
        own.unplugged = set()
        own.run(5)
        utility_returns(own)
        own.run(60)
        assert own.of("outage") == []


class TestRestarts:
    def test_a_restart_of_the_service_is_no_absence_of_the_pi(self, panel: World) -> None:
        panel.stop()
        panel.run(60)
        panel.start()
        panel.run(60)
        assert panel.rows == {}

    @pytest.mark.parametrize("clean", [False, True])
    def test_an_outage_goes_on_over_a_restart(self, own: World, clean: bool) -> None:
        utility_fails(own)
        own.run(600)
        if clean:
            own.stop()
        else:
            own.kill()
        own.run(120)
        own.start()
        own.run(600)
        utility_returns(own)
        own.run(60)
        (outage,) = own.of("outage")
        assert outage["seconds"] == 1320
        assert outage["estimated"] == "nothing"
        assert "pi_off_s" not in outage

    def test_an_outage_that_begins_during_a_restart(self, own: World) -> None:
        last_s = own.now_s
        own.stop()
        utility_fails(own)
        own.run(120)
        own.start()
        own.run(60)
        (outage,) = own.of("outage")
        assert outage["began_at"] == last_s + 125
        assert outage["not_before"] == last_s
        assert outage["estimated"] == "began_at"

    def test_an_outage_that_ends_during_a_restart(self, own: World) -> None:
        utility_fails(own)
        own.run(600)
        last_s = own.now_s
        own.stop()
        utility_returns(own)
        own.run(120)
        own.start()
        own.run(60)
        (outage,) = own.of("outage")
        assert outage["back_at"] == outage["back_not_after"] == last_s + 125
        assert outage["back_not_before"] == last_s
        assert outage["estimated"] == "back_at seconds"

    def test_a_run_that_ends_during_a_restart(self, own: World) -> None:
        to_generator(own)
        own.run(600)
        last_s = own.now_s
        own.stop()
        to_utility(own)
        own.generator = None
        own.run(120)
        own.start()
        own.run(60)
        (run,) = own.of("generator_run")
        assert run["ended_at"] == run["ended_not_before"] == last_s
        assert run["estimated"] == "ended_at running_s seconds"
        assert run["running_s"] == run["seconds"]

    def test_a_clean_stop_is_told(self, panel: World) -> None:
        panel.stop()
        panel.run(60)
        panel.boot()
        panel.run(300)
        (off,) = panel.of("pi_off")
        assert (off["clean"], off["cause"]) == (1.0, "stopped in order")
        panel.kill()
        panel.boot()
        panel.run(300)
        assert [row["clean"] for row in panel.of("pi_off")] == [1.0, 0.0]

    def test_an_outage_goes_on_over_days_and_boots(self, panel: World) -> None:
        utility_fails(panel)
        panel.kill()
        for _ in range(4):
            panel.on_generator = False
            panel.run(600)
            to_generator(panel)
            panel.boot()
            panel.run(6 * HOUR)
            panel.kill()
        utility_returns(panel)
        to_utility(panel)
        panel.boot()
        panel.run(300)
        (outage,) = panel.of("outage")
        assert outage["pi_off_count"] == 5
        assert outage["open"] == 0.0
        assert outage["seconds"] > 24 * HOUR

    def test_all_is_handed_over_again_and_overwrites_itself(self, own: World) -> None:
        utility_fails(own)
        own.run(600)
        utility_returns(own)
        own.run(60)
        before = {key: dict(row) for key, row in own.rows.items()}
        assert own.ledger is not None
        assert own.ledger.events() == []
        own.rows.clear()
        own.ledger.tell_again()
        own.take_events()
        assert own.rows == before
        own.stop()
        own.rows.clear()
        own.start()
        own.run(60)
        assert own.rows == before

    @pytest.mark.parametrize("after_s", range(0, 700, 35))
    def test_kill_at_any_slot_loses_no_more_than_is_stated(
        self, panel: World, after_s: int
    ) -> None:
        """The evidence of ten seconds, peaks and running time of five minutes; no energy."""
        begin_s = panel.now_s
        register_wh = panel.register_wh
        to_generator(panel)
        panel.run(after_s)
        panel.kill()
        panel.run(10)
        panel.start()
        panel.run(900 - after_s)
        to_utility(panel)
        used_wh = panel.register_wh - register_wh
        panel.run(60)
        (outage,) = panel.of("outage")
        was_recorded = after_s >= 15
        began_s = begin_s + 5 if was_recorded else begin_s + after_s + 15
        assert outage["began_at"] == began_s
        assert outage["not_before"] <= begin_s
        assert outage["generator_wh"] == pytest.approx(used_wh, abs=1)
        assert outage["running_s"] == pytest.approx(begin_s + 915 - began_s, abs=10)


class TestStateFile:
    def test_a_lost_file_invents_nothing(
        self, own: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        utility_fails(own)
        own.run(600)
        own.kill()
        own.file.unlink()
        before = dict(own.rows)
        with caplog.at_level(logging.INFO):
            own.run(60)
            own.start(recalled=own.last_slot_s)
            utility_returns(own)
            own.run(600)
        assert own.rows == before
        assert own.of("outage")[0]["open"] == 1.0
        assert "begins anew" in caplog.text
        assert "stays as it is there" in caplog.text

    def test_a_first_start_on_the_generator_claims_no_beginning(self, tmp_path: Path) -> None:
        world = World(tmp_path, PANEL)
        utility_fails(world)
        to_generator(world)
        world.start()
        world.run(60)
        (outage,) = world.of("outage")
        assert "not_before" not in outage
        assert outage["estimated"] == "began_at"

    @pytest.mark.parametrize(
        "damage", ["{", "[]", '{"version": 2}', '{"version": 1, "records": [7]}']
    )
    def test_a_file_that_cannot_be_used_is_said(
        self, own: World, caplog: pytest.LogCaptureFixture, damage: str
    ) -> None:
        own.stop()
        own.file.write_text(damage)
        own.start()
        utility_fails(own)
        own.run(60)
        assert len(own.of("outage")) == 1
        assert "outage" in caplog.text

    def test_the_card_is_seldom_written(self, own: World) -> None:
        own.kept.saves = 0
        own.run(24 * HOUR)
        assert own.kept.saves == 24
        utility_fails(own)
        own.run(60)
        own.kept.saves = 0
        own.run(HOUR)
        assert own.kept.saves == 12

    def test_a_point_waits_until_its_time_is_on_the_card(
        self, own: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(own.kept, "is_saved", lambda: False)
        utility_fails(own)
        own.run(int(CARD_WAIT_S))
        assert own.of("outage") == []
        (kept,) = (r for r in json.loads(own.file.read_text())["records"] if r["kind"] == "outage")
        monkeypatch.undo()
        own.run(5)
        (outage,) = own.of("outage")
        assert outage["time"] == kept["stamp"]

    def test_a_card_that_cannot_be_written_keeps_no_point_back(self, tmp_path: Path) -> None:
        world = World(tmp_path / "missing", OWN)
        world.start()
        utility_fails(world)
        world.run(int(CARD_WAIT_S))
        assert world.of("outage") == []
        world.run(60)
        (outage,) = world.of("outage")
        assert outage["open"] == 1.0
        (tmp_path / "missing").mkdir()
        world.run(int(SAVE_OPEN_S))
        assert json.loads(world.file.read_text())["records"]

    def test_old_records_leave_the_file(self, own: World) -> None:
        for _ in range(15):
            utility_fails(own)
            own.run(60)
            utility_returns(own)
            own.run(60)
        assert len(own.of("outage")) == 15
        own.stop()
        kinds = [record["kind"] for record in json.loads(own.file.read_text())["records"]]
        assert kinds.count("outage") == 10

    def test_a_night_of_boots_stays_bounded(self, panel: World) -> None:
        panel.kill()
        for _ in range(260):
            panel.now_s += 60
            panel.boot(clock_is_true=False, clock_off_s=-panel.now_s + T0)
            panel.kill()
        assert len(json.loads(panel.file.read_text())["records"]) <= 200

    def test_absences_within_a_record_stay_bounded(self, panel: World) -> None:
        utility_fails(panel)
        to_generator(panel)
        panel.run(60)
        for _ in range(120):
            panel.kill()
            panel.now_s += 60
            panel.boot()
        panel.run(60)
        (outage,) = panel.of("outage")
        assert outage["pi_off_count"] == 120
        assert "pi_off_s" in outage["estimated"]


class TestTime:
    def test_a_late_word_of_the_database_moves_the_beginning(self, panel: World) -> None:
        """The file is an hour old; the last stored slot is the later sign of life."""
        panel.run(HOUR // 2 + 600)
        last_s = panel.now_s
        panel.kill()
        panel.run(600)
        panel.boot()
        panel.run(60)
        assert panel.rows == {}  # it may still become better
        assert panel.ledger is not None
        panel.ledger.recalled(last_s)
        panel.run(5)
        assert panel.of("pi_off")[0]["time"] == last_s
        panel.ledger.recalled(last_s + 300)
        panel.run(5)
        assert panel.of("pi_off")[0]["time"] == last_s

    @pytest.mark.parametrize("word", [None, "later than the boot"])
    def test_what_the_database_cannot_know_changes_nothing(
        self, panel: World, word: str | None
    ) -> None:
        panel.run(600)
        panel.kill()
        kept_s = json.loads(panel.file.read_text())["alive"][0]
        panel.run(600)
        panel.boot()
        assert panel.ledger is not None
        panel.ledger.recalled(None if word is None else panel.now_s)
        panel.run(5)
        assert panel.of("pi_off")[0]["time"] == kept_s

    def test_a_database_that_stays_away_is_not_waited_for(self, panel: World) -> None:
        panel.kill()
        panel.boot()
        panel.run(115)
        assert panel.rows == {}
        panel.run(5)
        assert len(panel.of("pi_off")) == 1

    def test_a_word_to_a_ledger_that_has_not_started_is_nothing(self, tmp_path: Path) -> None:
        world = World(tmp_path, PANEL)
        world.start()
        ledger = world.ledger
        assert ledger is not None
        fresh = type(ledger)(PANEL, world.kept, 5)
        fresh.recalled(T0)
        fresh.dated("other", 5.0)
        assert fresh.events() == []

    def test_a_boot_that_never_learns_the_time_keeps_its_mark(self, panel: World) -> None:
        last_s = panel.now_s
        panel.kill()
        panel.run(600)
        panel.boot(clock_is_true=False, clock_off_s=-10 * HOUR)
        panel.run(300)
        panel.kill()
        panel.run(600)
        panel.boot()
        panel.run(300)
        first, second = panel.of("pi_off")
        assert last_s - HOUR <= first["time"] <= last_s
        assert (first["provisional"], second["provisional"]) == (1.0, 1.0)
        assert "ended_at" in first["estimated"]
        assert "began_at" in second["estimated"]
        assert first["time"] < first["ended_at"] + 1 <= second["time"] + 1
        assert "seconds" not in first.keys() & second.keys()
        assert second["ended_at"] == panel.boot_s

    def test_two_that_begin_in_the_same_second_stay_two(self, panel: World) -> None:
        """Each boot begins with the time that the clock kept: the same one."""
        for _ in range(3):
            panel.kill()
            panel.boot(clock_is_true=False, clock_off_s=T0 - 3 * HOUR - panel.now_s)
        panel.kill()
        panel.boot()
        panel.run(300)
        times = [row["time"] for row in panel.of("pi_off")]
        assert len(set(times)) == 4

    @pytest.mark.parametrize("step_s", [-7200, 7200])
    def test_a_clock_that_is_set_within_an_outage(self, own: World, step_s: int) -> None:
        failed_s = own.now_s
        utility_fails(own)
        own.run(HOUR)
        own.clock_off_s = step_s
        own.run(HOUR)
        utility_returns(own)
        own.run(60)
        (outage,) = own.of("outage")
        assert outage["seconds"] == 2 * HOUR
        assert outage["clock_set_s"] == step_s
        back_s = failed_s + 5 + 2 * HOUR
        assert outage["back_at"] == back_s + max(step_s, 0)

    def test_a_clock_that_went_back_between_boots_ends_nothing_before_its_beginning(
        self, panel: World
    ) -> None:
        panel.kill()
        panel.boot(clock_off_s=-5 * HOUR)
        panel.run(300)
        (off,) = panel.of("pi_off")
        assert off["ended_at"] == off["time"]
        assert "seconds" not in off

    @pytest.mark.parametrize(("off_s", "counted_wh"), [(600, 0), (6 * HOUR, 100_000)])
    def test_a_meter_exchanged_while_the_pi_was_off_counts_what_can_be_true(
        self, panel: World, off_s: int, counted_wh: int
    ) -> None:
        utility_fails(panel)
        panel.kill()
        panel.now_s += off_s
        to_generator(panel)
        panel.register_wh += 100_000
        panel.boot()
        panel.run(300)
        used_wh = GENERATOR_W * 300 / HOUR
        (outage,) = panel.of("outage")
        assert outage["generator_wh"] == pytest.approx(counted_wh, abs=used_wh)

    def test_a_register_that_was_set_back_or_leaps_counts_nothing(self, own: World) -> None:
        to_generator(own)
        own.run(600)
        own.register_wh = 3.0
        own.run(600)
        own.register_wh += 50_000
        own.run(600)
        own.generator = None
        own.run(60)
        (run,) = own.of("generator_run")
        assert run["generator_wh"] == pytest.approx(GENERATOR_W / 2, abs=GENERATOR_W / 60)
