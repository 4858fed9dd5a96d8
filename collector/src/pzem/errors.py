"""What all the errors have in common that a command ends with.

It stands apart from the parts that raise them, so that a command can be told from a
failure without importing what only other commands need.
"""

from __future__ import annotations

from typing import ClassVar


class PzemError(Exception):
    """What was asked for failed; the message is one line for people."""

    hint: ClassVar[str] = ""
    """What whoever typed the command may not think of."""


def why(error: OSError) -> str:
    """Say what the system says, and what helps whoever may not do it."""
    words = error.strerror or str(error)
    return f"{words}; try it with sudo" if isinstance(error, PermissionError) else words
