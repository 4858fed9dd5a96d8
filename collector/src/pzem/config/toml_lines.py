"""On which line of a TOML file each key stands: `tomllib` does not keep that."""

from __future__ import annotations

import re

Key = tuple[str | int, ...]


def syntax_complaint(message: str, source: str) -> str:
    """Turn what `tomllib` says of a broken file into one line that names the line."""
    position = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if position is None:
        return f"{source}: not TOML: {message}"
    what = message[: position.start()]
    line, column = position.groups()
    return f"{source}:{line}: not TOML: {what} (column {column}); mend this line"


def key_lines(text: str) -> dict[Key, int]:
    """Map each key to the line that sets it.

    A line inside a multi-line string may be taken for a key; the price is a
    complaint that names a wrong line, never a wrong verdict.
    """
    lines: dict[Key, int] = {}
    arrays: dict[str, int] = {}
    table: Key = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[\[\s*([^\]]+?)\s*\]\]", line):
            name = header[1].strip("\"'")
            arrays[name] = arrays.get(name, -1) + 1
            table = (name, arrays[name])
            lines[table] = number
        elif header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            first, *rest = _key_parts(header[1])
            table = (first, arrays[first], *rest) if first in arrays else (first, *rest)
            lines.setdefault(table, number)
        elif pair := re.match(r"\s*([^=#\[\]{}]+?)\s*=", line):
            parts = _key_parts(pair[1])
            for length in range(1, len(parts) + 1):
                lines.setdefault((*table, *parts[:length]), number)
    return lines


def _key_parts(dotted: str) -> list[str]:
    return [part.strip("\"' ") for part in dotted.split(".")]
