"""The loop over the slots: what each brings is understood, handed on and shown."""

from __future__ import annotations

import logging
from typing import Final

from pzem import points
from pzem.announcer import Announcer
from pzem.clock import Clock
from pzem.config import METER_TIME_S, Config
from pzem.errors import PzemError
from pzem.host import Thermometer
from pzem.house import (
    House,
    Ledger,
    Lifetime,
    PiFeed,
    Sample,
    SystemState,
    generator,
    lifetime,
    outages,
)
from pzem.influx import Writer
from pzem.kept import KeptFile
from pzem.moment import Moment
from pzem.points import Cycle
from pzem.ports import Ports
from pzem.recall import UNKNOWN_S, Answer, Recall
from pzem.requests import Requests
from pzem.saver import Saver
from pzem.schedule import Slot, slots
from pzem.settling import Settling
from pzem.spool import Block, Spool
from pzem.status import PROVISIONAL, TRUE, WAITING, Database, Now, StatusFile
from pzem.systemd import notify
from pzem.timekeeping import Timekeeper

RESET_S: Final = 3.0
"""How long a meter may take to set its register back; an order to stop waits for it."""
CARD_S: Final = 1.0
"""How long it may wait for the card before that."""
SPARE_S: Final = 0.5
"""Between the last thing that a slot may do and the next slot."""

log = logging.getLogger(__name__)


class CollectorError(PzemError):
    """The collector cannot go on."""


class Collector:
    """The loop over the slots.

    `boot_id`: of this boot, for stamps without a true time. `saver`: who waits for the card;
    without one the loop does.
    """

    def __init__(  # noqa: PLR0917 - it is where everything meets
        self,
        config: Config,
        ports: Ports,
        spool: Spool,
        writer: Writer,
        recall: Recall,
        clock: Clock,
        boot_id: str,
        saver: Saver | None = None,
    ) -> None:
        self._config = config
        self._ports = ports
        self._spool = spool
        self._writer = writer
        self._recall = recall
        self._clock = clock
        self._boot_id = boot_id
        self._timekeeper = Timekeeper(config.clock, clock, boot_id)
        self._settling = Settling(config.interval_s)
        self._pi_feed = PiFeed(config.meters, config.house.pi_fed_from)
        if saver is None:
            saver = Saver(clock.monotonic, background=False)
        state = config.state_dir
        self._house = House(
            config.meters,
            config.house,
            config.interval_s,
            KeptFile(state / "generator.json", generator.PRICE, saver),
        )
        self._lifetime = Lifetime(
            config.meters,
            config.interval_s,
            KeptFile(state / "lifetime.json", lifetime.PRICE, saver),
            reset_enabled=config.house.energy_reset,
        )
        self._ledger = Ledger(
            config.meters,
            KeptFile(state / outages.STATE_FILE, outages.PRICE, saver),
            config.interval_s,
        )
        self._requests = Requests(state, saver)
        self._started = Moment(
            int(clock.unix()), clock.monotonic(), boot_id, self._timekeeper.is_true
        )
        if self._started.is_true:
            recall.before_s = self._started.unix_s
        # What a backlog holds is newer than what the database knows before it is delivered.
        recall.awaited_s = UNKNOWN_S
        self._left_newest_s: int | None = None
        self._hear_spool()
        self._status = StatusFile(config, self._started)
        self._thermometer = Thermometer(config.thermal_zone)
        self._announcer = Announcer()
        self._depth = spool.depth()
        """What waits in the spool, without the slot in hand."""
        self._had_backlog = True
        """Whether records may have been overwritten by older words about them."""
        self._heard: Answer | None = None
        self._busy_said: set[str] = set()

    def run(self) -> None:
        """Work through the slots until the clock's wait is called off.

        Raises `CollectorError` if the writer has ended.
        """
        self._ledger.started(self._started)
        notify("READY=1\nSTATUS=collecting")
        for slot in slots(self._config.interval_s, self._clock):
            self.work(slot)
            if not self._writer.is_alive():
                raise CollectorError("the writer has ended; systemd is to start the collector anew")
            notify("WATCHDOG=1")

    def work(self, slot: Slot) -> None:
        """Do what one slot asks for."""
        moment = self._timekeeper.stamp(slot)
        self._note_time(slot)
        self._hear_spool()
        self._hear_database(slot)
        self._meet_requests()
        cycle = self._read(slot, moment)
        self._ledger.take(cycle.sample, cycle.meaning.supply, cycle.energies)
        self._tell_records_again()
        self._spool.put(Block(moment, points.lines(cycle), tuple(self._ledger.events())))
        self._reset_registers(slot.monotonic_s + self._config.interval_s - SPARE_S)
        self._announcer.note(cycle.sample.outcomes)
        self._warn_of_busy_ports()
        self._status.write(self._now(cycle))

    def close(self) -> None:
        """Keep what is to outlive the end, and take the status away."""
        self._house.close()
        self._lifetime.close()
        self._ledger.close()
        self._status.close()

    def _note_time(self, slot: Slot) -> None:
        found, interval_s = self._timekeeper.found, self._config.interval_s
        if found is not None:
            self._recall.before_s = int(self._started.monotonic_s + found.offset_s)
            self._spool.time_is_known(self._boot_id, found.offset_s, interval_s, found.first_unix_s)
            self._ledger.dated(self._boot_id, found.offset_s)
        elif self._timekeeper.is_overdue(slot):
            self._spool.show_undated(slot.unix_s - slot.monotonic_s, interval_s)

    def _hear_spool(self) -> None:
        """Take what earlier runs have left to be delivered, once that is known."""
        if self._recall.awaited_s == UNKNOWN_S and self._spool.has_looked:
            self._left_newest_s = self._recall.awaited_s = self._spool.left_newest_s

    def _hear_database(self, slot: Slot) -> None:
        """Take what was stored before this start, as the database tells it.

        The spool's word is as good a sign of life, if the database does not answer in time.
        """
        answer, left_s = self._recall.answer, self._left_newest_s
        if answer is None:
            waited_s = slot.monotonic_s - self._started.monotonic_s
            if left_s is not None and waited_s >= outages.RECALL_WAIT_S:
                self._ledger.recalled(left_s)
        elif answer is not self._heard:
            self._heard = answer
            self._lifetime.recalled(answer.meters, is_complete=answer.is_complete)
            known = [s for s in (answer.last_slot_unix_s, left_s) if s is not None]
            self._ledger.recalled(max(known, default=None))
            if answer.is_complete:
                self._house.generator_recalled(answer.generator)

    def _tell_records_again(self) -> None:
        """Have the last word about each record be the newest one.

        What is live goes before a backlog, in which the same record may still be open.
        """
        if self._depth.blocks > 1:
            self._had_backlog = True
        elif self._had_backlog:
            self._had_backlog = False
            self._ledger.tell_again()
        if not self._depth.blocks and self._recall.awaited_s != UNKNOWN_S:
            self._recall.awaited_s = None  # it is delivered, or was refused

    def _meet_requests(self) -> None:
        for request in self._requests.waiting():
            if self._lifetime.replaced(request.meter, request.id):
                self._requests.done(request)

    def _reset_registers(self, until_s: float) -> None:
        now_s = self._clock.monotonic()
        for name in self._lifetime.resets_due(max(0.0, min(CARD_S, until_s - now_s))):
            self._ports.reset_energy(name, min(until_s, self._clock.monotonic() + RESET_S))

    def _read(self, slot: Slot, moment: Moment) -> Cycle:
        start_s = self._clock.monotonic()
        heard = self._ports.poll(slot.deadline)
        end_s = self._clock.monotonic()
        outcomes = {
            name: self._settling.judge(name, outcome, slot.monotonic_s)
            for name, outcome in heard.items()
        }
        sample = Sample(moment, self._pi_feed.judge(outcomes, self._ports.homes()))
        energies = self._lifetime.take(sample)
        depth = self._depth = self._spool.depth()
        stuck = {name for name, energy in energies.items() if energy.is_stuck}
        oldest_age_s = None if depth.oldest_s is None else float(moment.unix_s - depth.oldest_s)
        system = SystemState(self._timekeeper.is_true, depth.blocks, oldest_age_s, depth.trouble)
        return Cycle(
            sample=sample,
            meaning=self._house.take(sample, stuck, system),
            energies=energies,
            lateness_s=start_s - slot.monotonic_s,
            cycle_s=end_s - start_s,
            waiting_cycles=depth.blocks,
            cpu_celsius=self._thermometer.celsius(),
        )

    def _now(self, cycle: Cycle) -> Now:
        if self._timekeeper.is_true:
            clock = TRUE
        else:
            clock = PROVISIONAL if self._spool.is_showing_undated else WAITING
        supply = cycle.meaning.supply
        return Now(
            moment=cycle.sample.moment,
            clock=clock,
            outcomes=cycle.sample.outcomes,
            homes=self._ports.homes(),
            ports=self._ports.troubles(),
            supply=supply.in_use,
            watts=supply.watts,
            volt_amps=supply.volt_amps,
            energies=cycle.energies,
            spool=self._depth,
            database=Database(
                self._writer.last_write_s, self._writer.why or None, tuple(self._writer.stored)
            ),
            alarms=cycle.meaning.alarms,
        )

    def _warn_of_busy_ports(self) -> None:
        homes = list(self._ports.homes().values())
        for path in set(homes) - self._busy_said - {None}:
            needed_s = METER_TIME_S * homes.count(path)
            if path is not None and needed_s > self._config.interval_s:
                self._busy_said.add(path)
                log.warning(
                    "%d meters on %s may need %g s, more than the interval of %d s; "
                    "use a longer interval_s or another adapter",
                    homes.count(path),
                    path,
                    needed_s,
                    self._config.interval_s,
                )
