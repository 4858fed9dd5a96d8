"""A PZEM-016 simulator on ptys, paced like the real line, with faults to order.

    def test_a_late_reply_is_a_gap(tmp_path):
        port = tmp_path / "ttyUSB0"
        meter = SimulatedMeter("mainA", address=4)
        meter.show(replace(IDLE, volts=121.5, amps=3.0, watts=360.9, power_factor=0.99))
        with Simulator.with_meters({port: [meter]}) as simulator:
            simulator.order("late mainA 0.5 1")  # or meter.fail("late", 0.5, count=1)
            ...  # read `port` at 9600 baud with whatever is under test
            assert simulator.journal.replies[-1].displayed.volts == 121.5

A `SimulatedHouse` behind the meters makes them plausible; `pzem simulate` is all of it.
"""

from pzem.testing.faults import FAULTS
from pzem.testing.house import ORIGINAL_WIRING, SimulatedHouse, State, Wiring
from pzem.testing.journal import Journal, SentReply
from pzem.testing.line import LinkError, SimulatedLine
from pzem.testing.meter import IDLE, Reply, SimulatedMeter
from pzem.testing.orders import OrderError
from pzem.testing.simulator import Simulator

__all__ = [
    "FAULTS",
    "IDLE",
    "ORIGINAL_WIRING",
    "Journal",
    "LinkError",
    "OrderError",
    "Reply",
    "SentReply",
    "SimulatedHouse",
    "SimulatedLine",
    "SimulatedMeter",
    "Simulator",
    "State",
    "Wiring",
]
