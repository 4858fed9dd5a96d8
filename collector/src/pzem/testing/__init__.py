"""A PZEM-016 simulator on ptys, paced like the real line, with faults to order."""

from pzem.testing.faults import FAULTS
from pzem.testing.house import ORIGINAL_WIRING, SimulatedHouse, State, Wiring
from pzem.testing.journal import Journal, SentReply
from pzem.testing.line import PortError, SimulatedLine
from pzem.testing.meter import IDLE, Reply, SimulatedMeter
from pzem.testing.orders import OrderError
from pzem.testing.simulator import Simulator

__all__ = [
    "FAULTS",
    "IDLE",
    "ORIGINAL_WIRING",
    "Journal",
    "OrderError",
    "PortError",
    "Reply",
    "SentReply",
    "SimulatedHouse",
    "SimulatedLine",
    "SimulatedMeter",
    "Simulator",
    "State",
    "Wiring",
]
