"""Fills the coarser levels of the history from the finer ones, and keeps them right.

One mechanism for what is live, late or old: InfluxQL `SELECT … INTO` for explicit ranges of
UTC, which may be run again at any time, since what is written again replaces itself.
"""

from pzem.rollup.rollup import Rollup, RollupError

__all__ = ["Rollup", "RollupError"]
