"""Stand-ins for lifetime energy and the loop that wires the parts.

They keep to the contracts of the real parts as far as the account can see, so that the
world, the plan and the account could be tried out before those exist. They prove nothing of
the real parts and go when `wiring` uses these.
"""

from __future__ import annotations

from collections.abc import Callable

from pzem.clock import Clock
from pzem.influx import Influx, InfluxError
from pzem.meter import Outcome, Silent
from pzem.points import meter_fields
from pzem.registers import Reading
from pzem.schedule import slots
from pzem.settling import Settling
from pzem.spool import Block, Spool
from pzem.timekeeping import Timekeeper
from soak.world import WorldPorts


class StandInLifetime:
    """Register plus offset, kept in `kept`, which outlives whatever befalls the process."""

    def __init__(self, kept: dict[str, tuple[float, float]]) -> None:
        self._kept = kept

    def take(self, name: str, energy_wh: float) -> float:
        offset_wh, last_wh = self._kept.get(name, (0.0, energy_wh))
        if energy_wh < last_wh:
            offset_wh += last_wh
        self._kept[name] = offset_wh, energy_wh
        return offset_wh + energy_wh


class StandInCollector:
    """The loop over the slots."""

    def __init__(
        self,
        clock: Clock,
        boot_id: str,
        ports: WorldPorts,
        spool: Spool,
        influx: Influx,
        first_s: Callable[[], float],
        lifetime: StandInLifetime,
    ) -> None:
        self._clock = clock
        self._boot_id = boot_id
        self._ports = ports
        self._spool = spool
        self._influx = influx
        self._first_s = first_s
        self._lifetime = lifetime
        self._settling = Settling(5)

    def run(self) -> None:
        keeper = Timekeeper("wait", self._clock, self._boot_id)
        shown = False
        for slot in slots(5, self._clock):
            moment = keeper.stamp(slot)
            if keeper.found is not None:
                found = keeper.found
                self._spool.time_is_known(self._boot_id, found.offset_s, 5, found.first_unix_s)
            if not shown and keeper.is_overdue(slot):
                shown = self._show(slot.unix_s - slot.monotonic_s)
            lines = ["collector cycle_s=0.15"]
            for name, outcome in self._ports.poll(slot.deadline).items():
                lines += self._lines(name, self._settling.judge(name, outcome, slot.monotonic_s))
            self._spool.put(Block(moment, tuple(lines)))

    def _show(self, offset_s: float) -> bool:
        """Show what waits for its time, after the last slot that is stored, if that is known."""
        try:
            rows = self._influx.query("SELECT last(cycle_s) FROM collector")
        except InfluxError:
            return False
        if rows:
            offset_s = max(offset_s, rows[0]["time"] + 5 - self._first_s())
        self._spool.show_undated(offset_s, 5)
        return True

    def _lines(self, name: str, outcome: Outcome) -> list[str]:
        if isinstance(outcome, Reading):
            fields = meter_fields(outcome)
            fields["lifetime_wh"] = self._lifetime.take(name, outcome.energy_wh)
            text = ",".join(f"{key}={value}" for key, value in fields.items())
            return [f"meter,meter={name} {text}", f"meter_state,meter={name} state=0"]
        state = 1 if isinstance(outcome, Silent) else 2
        return [f'meter_state,meter={name} state={state},reason="{outcome.reason}"']
