"""Readings as people read them: one row a meter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTHING = "-"
FIGURE_WIDTH = 7
"""So that a table that is shown again and again keeps still; 23000.0 W fit."""
READING_HEADS = ("V", "A", "W", "VA", "PF", "Hz", "kWh")


def reading_cells(fields: dict[str, float]) -> list[str]:
    """Format the fields of a `meter` point, units as in `READING_HEADS`."""
    return [
        f"{fields['volts']:.1f}",
        f"{fields['amps']:.3f}",
        f"{fields['watts']:.1f}",
        f"{fields['volt_amps']:.1f}",
        f"{fields['power_factor']:.2f}",
        f"{fields['hertz']:.1f}",
        f"{fields['energy_wh'] / 1000:.3f}",
    ]


def no_reading_cells() -> list[str]:
    """Return the cells of a meter that shows nothing: not a zero, but nothing."""
    return [NOTHING] * len(READING_HEADS)


def layout(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> list[str]:
    """Align `rows` under `heads`: the first `words` columns and the last one to the left."""
    table = [list(heads), *map(list, rows)]
    figures = range(words, len(heads) - 1)
    widths = [
        max(FIGURE_WIDTH if column in figures else 0, *(len(row[column]) for row in table))
        for column in range(len(heads))
    ]
    return [
        "  ".join(
            cell.rjust(width) if column in figures else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
