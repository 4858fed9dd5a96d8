"""Between the thread that reads and the database: nothing is lost on the way."""

from pzem.spool.block import Block
from pzem.spool.parcel import Delivery, Erasure, Parcel, Placement, grid
from pzem.spool.spool import COMMIT_S, Spool, SpoolDepth

__all__ = [
    "COMMIT_S",
    "Block",
    "Delivery",
    "Erasure",
    "Parcel",
    "Placement",
    "Spool",
    "SpoolDepth",
    "grid",
]
