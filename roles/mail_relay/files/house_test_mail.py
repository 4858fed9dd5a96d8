#!/usr/bin/python3
# Written by the role mail_relay of the house power monitor: this file is overwritten.
"""house-test-mail sends a message through the relay and tells what became of it.

Exit codes: 0 the provider has taken it, 1 it waits or was refused.
"""

from __future__ import annotations

import argparse
import json
import re
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Final

RELAY: Final = ("127.0.0.1", 25)
WAIT_S: Final = 40
"""A provider that does not answer is given up after 30 s."""
LOG: Final = ("journalctl", "--quiet", "--no-pager", "--output=cat", "--since=-5min")
_QUEUED_AS = re.compile(r"queued as ([A-Za-z0-9]+)")
_OUTCOME = re.compile(r"to=<([^>]*)>.* status=(\w+) \((.*)\)")

Run = Callable[[Sequence[str]], str]


class MailError(Exception):
    """The message could not even be handed over; one line for people."""


def main(argv: Sequence[str] | None = None) -> int:
    """Send a message; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Sends a test message and tells what became of it, and what else waits."
    )
    parser.add_argument(
        "recipient", nargs="?", default="root", help="who gets it (default: the house's recipients)"
    )
    recipient = parser.parse_args(argv).recipient
    try:
        number = hand_over(recipient)
    except MailError as error:
        sys.stderr.write(f"house-test-mail: {error}\n")
        return 1
    outcomes = wait_for(number)
    code, lines = told(outcomes, queue())
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return code


def hand_over(recipient: str, relay: tuple[str, int] = RELAY) -> str:
    """Give a message to the relay; return its number there. Raises `MailError`."""
    message = EmailMessage()
    message["Subject"] = "Test message of the house power monitor"
    message["From"], message["To"] = "House power monitor <root>", recipient
    message["Date"], message["Message-ID"] = formatdate(localtime=True), make_msgid()
    message.set_content(
        "This message was asked for. E-mail of the house power monitor on "
        f"{socket.gethostname()} reaches you.\n"
    )
    try:
        with smtplib.SMTP(*relay, timeout=30) as server:
            server.ehlo_or_helo_if_needed()
            for command, words in (server.mail("root"), server.rcpt(recipient)):
                if command >= 400:
                    raise MailError(f"the relay refuses it: {words.decode(errors='replace')}")
            code, reply = server.data(message.as_bytes())
    except (OSError, smtplib.SMTPException) as error:
        raise MailError(
            f"nobody takes mail on this machine: {error}; is house_mail_recipients set, and "
            "was the appliance provisioned since? (sudo systemctl status postfix)"
        ) from error
    found = _QUEUED_AS.search(reply.decode(errors="replace"))
    if code >= 400 or found is None:
        raise MailError(f"the relay refuses it: {reply.decode(errors='replace')}")
    return found[1]


def wait_for(number: str, run: Run | None = None, wait_s: float = WAIT_S) -> list[re.Match[str]]:
    """Return what the log says of each recipient, once it says it or after `wait_s`."""
    end_s = time.monotonic() + wait_s
    while True:
        log = (run or _output)([*LOG, f"--grep={number}: to="])
        outcomes = [match for line in log.splitlines() if (match := _OUTCOME.search(line))]
        if outcomes or time.monotonic() >= end_s:
            return outcomes
        time.sleep(0.5)


def queue(run: Run | None = None) -> list[dict[str, Any]]:
    """Return what waits, oldest first, as postqueue tells it."""
    lines = (run or _output)(["postqueue", "-j"]).splitlines()
    return sorted(map(json.loads, lines), key=lambda message: int(message["arrival_time"]))


def told(
    outcomes: Iterable[re.Match[str]], waiting: Sequence[dict[str, Any]]
) -> tuple[int, list[str]]:
    """Return the exit code and what to tell."""
    lines, are_sent = [], []
    for outcome in outcomes:
        recipient, status, words = outcome.groups()
        are_sent.append(status == "sent")
        if status == "sent":
            lines.append(f"{recipient}: the provider has taken it ({words})")
        elif status == "deferred":
            lines.append(f"{recipient}: not yet, it is tried again by itself ({words})")
        else:
            lines.append(f"{recipient}: refused for good ({words})")
    if not lines:
        lines.append("The provider has not answered yet; it is tried again by itself.")
    if waiting:
        since = datetime.fromtimestamp(int(waiting[0]["arrival_time"]), UTC).astimezone()
        what = "message waits" if len(waiting) == 1 else "messages wait"
        lines.append(f"{len(waiting)} {what} to be sent, since {since:%Y-%m-%d %H:%M}.")
    else:
        lines.append("No message waits.")
    return (0 if are_sent and all(are_sent) else 1), lines


def _output(argv: Sequence[str]) -> str:
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
