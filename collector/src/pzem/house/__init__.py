"""What the meters of the house together mean."""

from pzem.house.alarms import AlarmState, SystemState
from pzem.house.generator import GeneratorState
from pzem.house.house import House, Meaning
from pzem.house.legs import LegsState
from pzem.house.lifetime import Lifetime, MeterEnergy
from pzem.house.outages import Ledger
from pzem.house.pi_feed import PiFeed
from pzem.house.sample import Sample
from pzem.house.supply import SupplyState, derive

__all__ = [
    "AlarmState",
    "GeneratorState",
    "House",
    "Ledger",
    "LegsState",
    "Lifetime",
    "Meaning",
    "MeterEnergy",
    "PiFeed",
    "Sample",
    "SupplyState",
    "SystemState",
    "derive",
]
