"""E-mail: kept while the provider refuses it, and sent under the one address that it knows."""

import email
import time
from email.message import Message

import pytest
from testinfra.host import Host

from appliance import EXPECTED

FOLDER = "/run/mail-provider"
SOON_S = 30
AFTER_REFUSAL_S = 240
"""The queue is looked through once a minute, and each message tried after one or two."""


def messages(host: Host, subject: str) -> list[Message]:
    """Return what the provider got under `subject`."""
    names = host.run(f"grep -lx 'Subject: {subject}\r\\?' {FOLDER}/*.eml").stdout.split()
    return [email.message_from_string(host.check_output("cat %s", name)) for name in names]


def wait_for(host: Host, subject: str, within_s: int) -> Message:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        found = messages(host, subject)
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(1)
    queue = host.run("postqueue -p").stdout
    raise AssertionError(f"{subject} has not arrived within {within_s} s; the queue: {queue}")


def send(host: Host, recipient: str, subject: str) -> None:
    host.check_output(
        "printf 'From: \"A program\" <root>\\nTo: %%s\\nSubject: %%s\\n\\nWords.\\n' %s %s"
        " | sendmail -t",
        recipient,
        subject,
    )


@pytest.mark.parametrize("recipient", ["root", "root@localhost", "stranger@example.net"])
def test_mail_leaves_under_the_one_address(host: Host, recipient: str) -> None:
    subject = f"to {recipient}"
    send(host, recipient, subject)
    message = wait_for(host, subject, SOON_S)
    assert message["X-Envelope-From"] == EXPECTED["mail"]["from"]
    assert message["From"] == f'"A program" <{EXPECTED["mail"]["from"]}>'
    wanted = recipient if recipient.endswith("example.net") else EXPECTED["mail"]["to"]
    assert message["X-Envelope-To"] == wanted


def test_what_is_refused_is_kept_and_sent_later(host: Host) -> None:
    host.check_output("touch %s/refuse", FOLDER)
    try:
        send(host, "root", "kept")
        end_s = time.monotonic() + SOON_S
        while "not now" not in host.check_output("postqueue -p"):
            assert time.monotonic() < end_s, "the provider was not asked"
            time.sleep(1)
        assert messages(host, "kept") == []
    finally:
        host.check_output("rm %s/refuse", FOLDER)
    wait_for(host, "kept", AFTER_REFUSAL_S)
    assert "Mail queue is empty" in host.check_output("postqueue -p")


def test_the_password_is_for_root_alone(host: Host) -> None:
    file = host.file("/etc/postfix/password")
    assert (file.user, file.mode) == ("root", 0o600)
