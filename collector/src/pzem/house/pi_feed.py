"""What the Pi's own life tells of meters that do not answer.

While the collector runs, what powers the Pi is live. A meter with the same feed that is
silent is so for another reason: its cable, its adapter, or the meter itself. If nobody else
is heard on its adapter, the fault may be there, and the silence of the others on it proves
nothing either: without this, one loose bus cable would look like a dark house.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pzem.config import MeterSettings
from pzem.meter import HAS_POWER, LINE_IN_DOUBT, Outcome, Silent, heard


class PiFeed:
    """Tells silence from darkness. `pi_fed_from`: see `HouseSettings`; empty: not known."""

    def __init__(self, meters: Iterable[MeterSettings], pi_fed_from: str) -> None:
        self._powered = {
            meter.name for meter in meters if pi_fed_from and meter.fed_from == pi_fed_from
        }

    def judge(
        self, outcomes: Mapping[str, Outcome], homes: Mapping[str, str | None]
    ) -> dict[str, Outcome]:
        """Return the outcomes of a slot, silences that prove no darkness named as such.

        `homes`: the port of each meter, by its name; None: not known.
        """
        working = {homes.get(name) for name, outcome in outcomes.items() if heard(outcome)}
        doubted = {homes.get(name) for name in self._powered} - working - {None}

        def judged(name: str, outcome: Outcome) -> Outcome:
            if not isinstance(outcome, Silent) or not outcome.proves_darkness:
                return outcome
            if name in self._powered:
                return Silent(HAS_POWER)
            return Silent(LINE_IN_DOUBT) if homes.get(name) in doubted else outcome

        return {name: judged(name, outcome) for name, outcome in outcomes.items()}
