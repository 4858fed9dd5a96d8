"""What house-test-mail tells, for everything that may become of a message."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from project_files import load

house_test_mail = load("roles/mail_relay/files/house_test_mail.py")
SENT = "4F2A: to=<me@example.com>, relay=x[1.2.3.4]:587, dsn=2.0.0, status=sent (250 2.0.0 OK)"
DEFERRED = "4F2A: to=<me@example.com>, dsn=4.3.2, status=deferred (connect to x: timed out)"
BOUNCED = "4F2A: to=<me@example.com>, dsn=5.1.1, status=bounced (550 no such user)"


class Relay:
    """What Postfix does with a message, as far as it shows."""

    reply = "250 2.0.0 Ok: queued as 4F2A"

    def __init__(self) -> None:
        self.got: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 unknown"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.got.append(envelope)
        return self.reply


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def address(relay: Relay) -> Iterator[tuple[str, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place: tuple[str, int] = free.getsockname()
    controller = Controller(relay, *place)
    controller.start()
    yield place
    controller.stop()


def outcomes(*lines: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = house_test_mail.wait_for(
        "4F2A", run=lambda _: "\n".join(lines), wait_s=0
    )
    return found


def test_it_is_handed_over_and_numbered(relay: Relay, address: tuple[str, int]) -> None:
    assert house_test_mail.hand_over("me@example.com", address) == "4F2A"
    (envelope,) = relay.got
    assert envelope.rcpt_tos == ["me@example.com"]
    assert b"Subject: Test message of the house power monitor" in (envelope.original_content or b"")


@pytest.mark.parametrize(
    ("recipient", "reply", "said"),
    [
        ("nobody@example.com", Relay.reply, "the relay refuses it: 5.1.1 unknown"),
        ("me@example.com", "452 4.3.1 no room", "the relay refuses it: 4.3.1 no room"),
    ],
)
def test_a_relay_that_refuses_is_told(
    relay: Relay, address: tuple[str, int], recipient: str, reply: str, said: str
) -> None:
    relay.reply = reply
    with pytest.raises(house_test_mail.MailError, match=re.escape(said)):
        house_test_mail.hand_over(recipient, address)


def test_a_relay_that_is_not_there_is_told() -> None:
    with pytest.raises(house_test_mail.MailError, match="nobody takes mail on this machine"):
        house_test_mail.hand_over("me@example.com", ("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (SENT, 0, "me@example.com: the provider has taken it (250 2.0.0 OK)"),
        (
            DEFERRED,
            1,
            "me@example.com: not yet, it is tried again by itself (connect to x: timed out)",
        ),
        (BOUNCED, 1, "me@example.com: refused for good (550 no such user)"),
        ("", 1, "The provider has not answered yet; it is tried again by itself."),
    ],
)
def test_what_became_of_it_is_told(line: str, code: int, said: str) -> None:
    assert house_test_mail.told(outcomes(line), []) == (code, [said, "No message waits."])


def test_one_of_two_recipients_that_is_refused_fails() -> None:
    code, lines = house_test_mail.told(outcomes(SENT, BOUNCED), [])
    assert code == 1
    assert len(lines) == 3


def test_what_waits_is_counted() -> None:
    waiting: list[dict[str, Any]] = [
        {"arrival_time": 1_790_000_300},
        {"arrival_time": 1_790_000_000},
    ]
    told = house_test_mail.queue(run=lambda _: "\n".join(map(json.dumps, waiting)))
    assert [one["arrival_time"] for one in told] == [1_790_000_000, 1_790_000_300]
    _, lines = house_test_mail.told(outcomes(SENT), told)
    assert re.fullmatch(r"2 messages wait to be sent, since 2026-09-\d\d \d\d:\d\d\.", lines[-1])
