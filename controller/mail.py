"""What the owner wrote about e-mail, checked before anything is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", re.ASCII
)
"""What HTML takes for an e-mail address; without spaces, brackets and quotes."""
SECURITY: Final = ("starttls", "tls", "none")

_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_USERNAME = re.compile(r"[^\s:]*")

Complaint = tuple[tuple[str | int, ...], str, str]
"""Where, what is wrong, how to mend it."""


def complaints(values: Mapping[str, Any], given: set[str]) -> Iterator[Complaint]:
    """Yield what is wrong with `values`, all keys of the house; `given`: those that were written.

    A key of which somebody has complained already has the value None.
    """
    for key, check in _CHECKS.items():
        if key in given and values[key] is not None:
            yield from check(key, values[key])
    recipients = values["house_mail_recipients"]
    lacking = [key for key in ("house_mail_host", "house_mail_from") if values[key] == ""]
    if isinstance(recipients, list) and recipients and lacking:
        problem = f"nothing can be sent without {' and '.join(lacking)}"
        yield ("house_mail_recipients",), problem, "write them too"


def _recipients(key: str, value: object) -> Iterator[Complaint]:
    mend = "write a list of addresses, such as [me@example.com]"
    if not isinstance(value, list):
        yield (key,), f"{_show(value)} is not a list", mend
        return
    for number, one in enumerate(value):
        if not isinstance(one, str) or not ADDRESS.fullmatch(one):
            yield (key, number), f"{_show(one)} is no e-mail address", "write name@example.com"


def _from(key: str, value: object) -> Iterator[Complaint]:
    if value != "" and not (isinstance(value, str) and ADDRESS.fullmatch(value)):
        yield (key,), f"{_show(value)} is no e-mail address", "write name@example.com"


def _host(key: str, value: object) -> Iterator[Complaint]:
    if value != "" and not (isinstance(value, str) and _SERVER.fullmatch(value)):
        yield (key,), f"{_show(value)} is no mail server", "write its name, as smtp.example.com"


def _port(key: str, value: object) -> Iterator[Complaint]:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        yield (key,), f"{_show(value)} is no port", "write 587 (starttls) or 465 (tls)"


def _security(key: str, value: object) -> Iterator[Complaint]:
    if value not in SECURITY:
        yield (key,), f"unknown value {_show(value)}", f"use one of {', '.join(SECURITY)}"


def _username(key: str, value: object) -> Iterator[Complaint]:
    if not isinstance(value, str) or not _USERNAME.fullmatch(value):
        mend = "write it in quotes, without spaces and colons"
        yield (key,), f"{_show(value)} cannot be the name of an account", mend


def _show(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_CHECKS: Final[Mapping[str, Callable[[str, object], Iterator[Complaint]]]] = {
    "house_mail_recipients": _recipients,
    "house_mail_from": _from,
    "house_mail_host": _host,
    "house_mail_port": _port,
    "house_mail_security": _security,
    "house_mail_username": _username,
}
KEYS: Final = tuple(_CHECKS)
"""The keys of the house that this module checks."""
