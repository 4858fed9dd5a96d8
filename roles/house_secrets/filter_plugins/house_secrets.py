"""Ansible filter: which value of each secret of a house is right."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

EASY_ALPHABET = "abcdefghjkmnpqrtwxy346789"
"""Without the letters and digits that look like others (0 o, 1 i l, 2 z, 5 s, u v)."""
EASY_GROUPS, EASY_GROUP_LENGTH = 4, 4
HARD_ALPHABET = string.ascii_letters + string.digits
HARD_LENGTH = 32


def fingerprint(name: str, value: str) -> str:
    """Return what the controller's record keeps of a secret."""
    return hashlib.sha256(f"{name}\n{value}".encode()).hexdigest()


def make(*, easy: bool) -> str:
    """Make a secret: 74 bits for people to type, or 190 bits."""
    if not easy:
        return "".join(secrets.choice(HARD_ALPHABET) for _ in range(HARD_LENGTH))
    return "-".join(
        "".join(secrets.choice(EASY_ALPHABET) for _ in range(EASY_GROUP_LENGTH))
        for _ in range(EASY_GROUPS)
    )


def settled(
    controller: Mapping[str, str],
    pi: Mapping[str, str],
    agreed: Mapping[str, str],
    *,
    made: Sequence[str],
    easy: Sequence[str],
    given: Sequence[str],
) -> dict[str, Any]:
    """Settle every secret of a house.

    Where controller and Pi differ, `agreed` (fingerprints of what both had at the end of
    the last run from this controller) tells who has changed: if the Pi still has what was
    agreed, the change was made on the controller and is carried through. In all other
    cases the Pi's is right: another controller has changed it, or nobody can know, and
    then the one that the services run with breaks nothing.

    Returns `secrets` (the right ones), `agreed` (their fingerprints) and `taken_over`
    (names for which the controller had another value).
    """
    right: dict[str, str] = {}
    taken_over: list[str] = []
    for name in (*made, *given):
        here, there = controller.get(name), pi.get(name)
        if here is None and there is None:
            if name in made:
                right[name] = make(easy=name in easy)
        elif here is None or there is None or here == there:
            right[name] = str(here if here is not None else there)
        elif hmac.compare_digest(str(agreed.get(name, "")), fingerprint(name, there)):
            right[name] = str(here)
        else:
            right[name] = str(there)
            taken_over.append(name)
    return {
        "secrets": right,
        "agreed": {name: fingerprint(name, value) for name, value in right.items()},
        "taken_over": taken_over,
    }


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Return the filters by name."""
        return {"house_secrets_settled": settled}
