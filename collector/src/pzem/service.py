"""`pzem run`: the grid, the meters, the house and the database, wired together."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from pzem import points
from pzem.announcer import Announcer
from pzem.clock import Clock, SystemClock
from pzem.config import METER_TIME_S, Config
from pzem.errors import PzemError
from pzem.host import Thermometer
from pzem.house import House
from pzem.influx import REQUEST_S, Influx, Writer
from pzem.memory import Memory
from pzem.moment import Moment, boot_id
from pzem.points import Cycle
from pzem.ports import Ports
from pzem.schedule import Slot, slots
from pzem.settling import Settling
from pzem.spool import Block, Spool
from pzem.systemd import notify

FLUSH_S: Final = REQUEST_S + 2.0
"""How long the end may take: a write under way may still succeed. systemd waits 20 s."""

log = logging.getLogger(__name__)


class CollectorError(PzemError):
    """The collector cannot go on."""


def run(config: Config, stop: threading.Event) -> None:
    """Collect until `stop` is set, then write what is left.

    Raises `ConfigError` if the password cannot be read, `CollectorError` if a part
    of the collector has failed for good.
    """
    influx = Influx(config.influxdb)
    spool = Spool(config.state_dir, boot_id(), config.spool.max_mb * 1_000_000)
    writer = Writer(spool, influx)
    writer.start()
    try:
        memory = Memory(_memory_file(config.state_dir))
        addresses = {meter.name: meter.address for meter in config.meters}
        with Ports(config.ports, config.exclude_ports, addresses, memory) as ports:
            log.info("looking for %d meters on %s", len(addresses), ", ".join(config.ports))
            ports.discover(stop)
            Collector(config, ports, spool, writer, SystemClock(stop)).run()
    finally:
        notify("STOPPING=1")
        writer.stop(FLUSH_S)
        spool.close()


class Collector:
    """The loop over the slots."""

    def __init__(
        self,
        config: Config,
        ports: Ports,
        spool: Spool,
        writer: Writer,
        clock: Clock,
    ) -> None:
        self._config = config
        self._ports = ports
        self._spool = spool
        self._writer = writer
        self._clock = clock
        self._settling = Settling(config.interval_s)
        self._house = House(config.meters)
        self._thermometer = Thermometer(config.thermal_zone)
        self._announcer = Announcer()
        self._clock_trusted = config.clock == "trust"
        self._dropped = 0
        self._busy_said: set[str] = set()

    def run(self) -> None:
        """Work through the slots until the clock's wait is called off.

        Raises `CollectorError` if the writer has ended.
        """
        notify("READY=1\nSTATUS=collecting")
        for slot in slots(self._config.interval_s, self._clock):
            trusted = self._is_clock_trusted()
            cycle = self._read(slot)
            if trusted:
                self._spool.put(_block(cycle))
            self._announcer.note(cycle.outcomes)
            self._warn_of_busy_ports()
            if not self._writer.is_alive():
                raise CollectorError("the writer has ended; systemd is to start the collector anew")
            notify("WATCHDOG=1")

    def _read(self, slot: Slot) -> Cycle:
        start_s = self._clock.monotonic()
        heard = self._ports.poll(slot.deadline)
        end_s = self._clock.monotonic()
        outcomes = {
            name: self._settling.judge(name, outcome, slot.monotonic_s)
            for name, outcome in heard.items()
        }
        return Cycle(
            slot=slot,
            outcomes=outcomes,
            house=self._house.derive(outcomes),
            lateness_s=start_s - slot.monotonic_s,
            cycle_s=end_s - start_s,
            waiting_cycles=self._spool.depth().blocks,
            cpu_celsius=self._thermometer.celsius(),
        )

    def _is_clock_trusted(self) -> bool:
        """With `clock = "wait"`, a cycle before the clock is right has no true time.

        The slot at which the clock is first seen to be right may have been stamped just
        before it was set, so it is the last one to be dropped.
        """
        if self._clock_trusted:
            return True
        self._dropped += 1
        if self._clock.is_synchronised():
            self._clock_trusted = True
            log.info("the clock is right; %d cycles read before are dropped", self._dropped)
        elif self._dropped == 1:
            log.warning("the clock is not synchronised yet; nothing is stored until it is")
        return False

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


def _block(cycle: Cycle) -> Block:
    moment = Moment(cycle.slot.unix_s, cycle.slot.monotonic_s, boot_id())
    return Block(moment, (), dated=tuple(points.lines(cycle)))


def _memory_file(state_dir: Path) -> Path:
    return state_dir / "ports.json"
