"""Between the thread that reads and the database: nothing is lost on the way."""

from pzem.spool.block import Block
from pzem.spool.memory import MemorySpool

__all__ = ["Block", "MemorySpool"]
