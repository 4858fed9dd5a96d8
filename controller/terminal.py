"""Questions to whoever sits at the terminal, if anybody does."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable

from controller.messages import ProblemError, tell

TRIES = 3


def attended() -> bool:
    """Tell whether there is a terminal to ask at."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ask_password(prompt: str, works: Callable[[str], bool], wrong: str, none_there: str) -> str:
    """Ask for a password until it works, three times at most.

    Raises `ProblemError` with `none_there` if nobody can be asked, with `wrong` if no
    password worked.
    """
    if not attended():
        raise ProblemError(none_there)
    for left in reversed(range(TRIES)):
        try:
            password = getpass.getpass(prompt)
        except EOFError as error:
            raise ProblemError(none_there) from error
        if password and works(password):
            return password
        if left:
            tell("That is not it. Once more:")
    raise ProblemError(wrong)


def ask_yes(question: str) -> bool:
    """Ask a question whose answer is no unless it is yes."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        tell()
        return False
