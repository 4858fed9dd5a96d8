"""Plays a plan on a world, with the real InfluxDB and the collector in it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from pzem.meter import Faulty, Silent
from pzem.registers import Reading
from pzem.testing.house import State
from pzem.testing.influxd import Influxd
from soak.plan import CALM_S, Event, time_arrives_after
from soak.wiring import Wired
from soak.world import INTERVAL_S, Killed, PowerCut, World

DATABASE: Final = "housePower"
RESTART_S: Final = 6.0
"""systemd waits 5 s before it starts a service anew."""
CALM_RESET_S: Final = 60.0
"""A register that is reset is watched for as long before and after."""
MEASUREMENTS: Final = ("meter", "meter_state", "collector")

Rows = dict[str, list[dict[str, Any]]]


class Day:
    """The machine, its database and its collector, from the first boot to the last slot."""

    def __init__(self, world: World, server: Influxd, folder: Path, plan: Sequence[Event]) -> None:
        self.world = world
        self.dropped: list[Rows] = []
        """What was in the database each time that somebody dropped it."""
        self._server = server
        self._folder = folder
        self._rng = Random(f"{plan}")
        self._up = False
        self._present = True
        self._down = 0
        self._booted = False
        self._collector_at = world.begin
        self._power_busy = False
        self._after_stop: Callable[[], None] | None = None
        self._last_wall_s = world.begin - 3600
        self._lives = 0
        ends = ("kill", "restart", "outage", "reboot", "dark")
        self._ends = [world.begin + event.at for event in plan if event.kind in ends]
        self._all_known_by = 0.0
        for event in plan:
            do = getattr(self, f"_do_{event.kind}")
            world.at(world.begin + event.at, lambda do=do, event=event: do(event))  # type: ignore[misc]
        world.no_database.begin(world.begin)
        world.off.begin(world.begin)

    def play(self, end: float) -> None:
        """Live the day up to `end` (unix seconds)."""
        world = self.world
        self._all_known_by = end - CALM_S / 2
        self._state_dir().mkdir(parents=True)
        world.at(end, self._finish)
        self._boot()
        while world.now < end:
            if world.boot is None or world.now < self._collector_at:
                world.advance(min(world.now + 1.0, end))
            else:
                self._live(end)
        world.free_card()

    def rows(self) -> Rows:
        """Return everything in the database that the account is made from."""
        return {
            name: self._server.query(f"SELECT * FROM {name}", DATABASE) for name in MEASUREMENTS
        }

    # --- the collector

    def _live(self, end: float) -> None:
        world = self.world
        life = world.begin_life()
        collector = Wired(
            world, self._state_dir(), self._folder / "run", self._server.url, DATABASE
        )
        try:
            collector.run()
            collector.end()
        except Killed as killed:
            if world.reads and world.reads[-1].life is life and killed.args:
                world.reads[-1].in_hand = True
            self._keep_disk(collector)
            self._end_life(killed=True)
            if isinstance(killed, PowerCut):
                self._machine_off()
        else:
            self._keep_disk(collector)
            self._end_life(killed=False)
            if self._after_stop is not None:
                after, self._after_stop = self._after_stop, None
                after()
        del collector
        assert world.now <= end + 1

    def _end_life(self, *, killed: bool) -> None:
        self.world.end_life(killed=killed)
        self._collector_at = self.world.now + RESTART_S

    def _state_dir(self) -> Path:
        return self._folder / f"state{self._lives}"

    def _keep_disk(self, collector: Wired) -> None:
        """Go on with a copy of what is on the disk now, whatever the dead one still holds open."""
        before = self._state_dir()
        self._lives += 1
        with self.world.another_card():
            shutil.copytree(before, self._state_dir())
        collector.abandon()
        shutil.rmtree(before)

    def _finish(self) -> None:
        self.world.stop_asked = True

    def _do_kill(self, event: Event) -> None:
        if self.world.life is None:
            return
        if event.words[0] == "wait":
            raise Killed
        self.world.kill_next = event.words[0]

    def _do_restart(self, event: Event) -> None:
        if self.world.life is not None:
            self.world.stop_asked = True

    def _do_stall(self, event: Event) -> None:
        self.world.stall_s = event.seconds

    # --- the machine

    def _boot(self) -> None:
        world = self.world
        behind_s = self._rng.choice((0.0, 2.5, self._rng.uniform(0, 900)))
        world.start_machine(self._last_wall_s - behind_s)
        boot = world.boot
        arrival_s = time_arrives_after(self._rng, outage=world.house.state is State.GENERATOR)
        if world.now + arrival_s > self._all_known_by:
            arrival_s = self._rng.uniform(5, 60)

        def time_arrives() -> None:
            if world.boot is boot:
                world.error_s = 0.0
                world.synchronised = True

        def database_starts() -> None:
            if world.boot is boot:
                self._booted = True
                self._settle_server()

        world.at(world.now + arrival_s, time_arrives)
        world.at(world.now + self._rng.uniform(2, 30), database_starts)
        self._collector_at = world.now + self._rng.uniform(5, 20)

    def _machine_off(self, *, kindly: bool = False) -> None:
        """Have the machine end now; whoever runs in it is dead already."""
        world = self.world
        if world.synchronised and world.error_s < 0:
            world.stepped.begin(world.wall())
            world.stepped.end(world.now)
        self._last_wall_s = world.wall()
        self._booted = False
        self._settle_server(kindly=kindly)
        world.end_machine()

    def _cut(self) -> None:
        """Cut the power of the machine, from within whatever it does."""
        if self.world.life is not None:
            raise PowerCut
        if self.world.boot is not None:
            self._machine_off()

    def _do_outage(self, event: Event) -> None:
        world = self.world
        if self._power_busy or world.boot is None:
            return
        self._power_busy = True
        if event.words:
            picked_up = world.now + self._rng.uniform(60, 600)
            back = picked_up + event.seconds
            world.at(picked_up, lambda: self._power(State.GENERATOR))
            world.at(back, self._switch_back)
            world.at(back + self._rng.uniform(5, 30), self._power_back)
        else:
            world.at(world.now + event.seconds, self._power_back)
        world.house.state = State.OUTAGE
        self._cut()

    def _power(self, state: State) -> None:
        self.world.house.state = state
        self._boot()

    def _switch_back(self) -> None:
        self.world.house.state = State.OUTAGE
        self._cut()

    def _power_back(self) -> None:
        self._power_busy = False
        self._power(State.UTILITY)

    def _do_dark(self, event: Event) -> None:
        world = self.world
        if self._power_busy or world.boot is None:
            return
        self._power_busy = True
        world.house.state = State.OUTAGE

        def back() -> None:
            self._power_busy = False
            world.house.state = State.UTILITY

        world.at(world.now + event.seconds, back)

    def _do_reboot(self, event: Event) -> None:
        world = self.world
        if self._power_busy or world.boot is None:
            return
        self._power_busy = True

        def off() -> None:
            self._machine_off(kindly=True)
            world.at(world.now + event.seconds, self._power_back)

        if world.life is None:
            off()
        else:
            self._after_stop = off
            world.stop_asked = True

    def _do_step(self, event: Event) -> None:
        world = self.world
        boot = world.boot
        if not world.synchronised or world.error_s or boot is None:
            return
        self._set_error(float(event.words[0]))

        def mend() -> None:
            if world.boot is boot:
                self._set_error(0.0)

        world.at(world.now + event.seconds, mend)

    def _set_error(self, error_s: float) -> None:
        world = self.world
        before_s = world.wall()
        world.error_s = error_s
        if world.wall() > before_s:
            world.stepped.begin(before_s)
            world.stepped.end(world.wall())

    # --- the meters

    def _do_meter(self, event: Event) -> None:
        name, reason = event.words
        trouble = self.world.trouble
        if name in trouble:
            return
        trouble[name] = Silent(reason) if reason.startswith("no_") else Faulty(reason)

        def heal() -> None:
            del trouble[name]

        self.world.at(self.world.now + event.seconds, heal)

    def _do_reset(self, event: Event) -> None:
        """Reset a register under the collector's eyes; else later.

        What a reset hides while nobody looks, nobody can know: not how much was used.
        """
        world, name = self.world, event.words[0]
        last = world.reads[-4:]
        calm = all(abs(world.now - at) > CALM_RESET_S for at in self._ends)
        watched = (
            world.life is not None
            and world.now - world.life.began > CALM_RESET_S
            and world.now - last[0].true_s < 5 * INTERVAL_S
            and all(isinstance(read.outcomes[name], Reading) for read in last)
        )
        if calm and watched:
            world.reset_register(name)
        else:
            world.at(world.now + 7.0, lambda: self._do_reset(event))

    # --- the card

    def _do_card(self, event: Event) -> None:
        self.world.fill_card()
        self.world.at(self.world.now + event.seconds, self.world.free_card)

    # --- the database

    def _do_database(self, event: Event) -> None:
        if event.words[0] == "dropped":
            self._drop(event)
            return
        self._down += 1
        self._settle_server(kindly=event.words[0] == "stopped")

        def back() -> None:
            self._down -= 1
            self._settle_server()

        self.world.at(self.world.now + event.seconds, back)

    def _drop(self, event: Event) -> None:
        if not self._up or not self._present:
            return
        self.dropped.append(self.rows())
        self.world.drops.append(self.world.now)
        self._server.query(f"DROP DATABASE {DATABASE}")
        self._present = False
        self._note_database()

        def make() -> None:
            self._present = True
            if self._up:
                self._server.query(f"CREATE DATABASE {DATABASE}")
            self._note_database()

        self.world.at(self.world.now + event.seconds, make)

    def _settle_server(self, *, kindly: bool = False) -> None:
        """Have the server run if it is to, and the database be there if it is to."""
        wanted = self._booted and not self._down
        if self._up and not wanted:
            if kindly:
                self._server.stop()
            else:
                self._server.kill()
        elif wanted and not self._up:
            with self.world.another_card():
                self._server.start()
            if self._present:
                self._server.query(f"CREATE DATABASE {DATABASE}")
        self._up = wanted
        self._note_database()

    def _note_database(self) -> None:
        if self._up and self._present:
            self.world.no_database.end(self.world.now)
        else:
            self.world.no_database.begin(self.world.now)


def stop(day: Day) -> None:
    """Leave nothing behind, whatever happened."""
    with contextlib.suppress(OSError):
        day.world.free_card()
