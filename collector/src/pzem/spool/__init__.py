"""Between the thread that reads and the database: nothing is lost on the way."""

from pzem.spool.block import Block
from pzem.spool.memory import COMMIT_S, SpoolDepth
from pzem.spool.parcel import Delivery, Erasure, Parcel, Placement
from pzem.spool.spool import Spool

__all__ = [
    "COMMIT_S",
    "Block",
    "Delivery",
    "Erasure",
    "Parcel",
    "Placement",
    "Spool",
    "SpoolDepth",
]
