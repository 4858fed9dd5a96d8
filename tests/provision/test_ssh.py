"""What OpenSSH says, as one line that helps. Its words are those of OpenSSH 9.2 and 10.0."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from controller import ssh
from controller.messages import ProblemError

BANNER = "@" * 59
CHANGED = f"""{BANNER}
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
{BANNER}
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Host key verification failed.
"""


@pytest.fixture
def pi(tmp_path: Path) -> ssh.Ssh:
    return ssh.Ssh("pi.lan", "pi", known_hosts=tmp_path / "known hosts")


def says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, errors: str, code: int = 255) -> None:
    """Put a stand-in for ssh on the PATH, which says `errors` and fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "said").write_text(errors)
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\ncat '{folder}/said' >&2\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("errors", "means"),
    [
        (
            "ssh: Could not resolve hostname pi.lan: Name or service not known",
            "pi.lan: no machine of this name in your network",
        ),
        ("ssh: connect to host pi.lan port 22: Connection refused", "switch ssh on"),
        ("ssh: connect to host pi.lan port 22: No route to host", "nothing answers there"),
        ("ssh: connect to host pi.lan port 22: Connection timed out", "nothing answers there"),
        ("kex_exchange_identification: read: Connection reset by peer", "may still be starting"),
        ("Connection closed by 192.168.1.5 port 22", "may still be starting"),
        (CHANGED, "add --new-card; if not, do not go on"),
        ("pi@pi.lan: Permission denied (publickey).", "pi@pi.lan takes no password and knows none"),
        ("Bad configuration option: foo\n\n", "ssh says: Bad configuration option: foo"),
        ("", "could not be reached: ssh says: nothing"),
    ],
)
def test_a_failure_is_explained_in_one_line(
    pi: ssh.Ssh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, errors: str, means: str
) -> None:
    says(monkeypatch, tmp_path, errors)
    with pytest.raises(ProblemError) as caught:
        pi.run("true")
    assert means in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("methods", ["publickey,password", "publickey,keyboard-interactive"])
def test_a_pi_that_takes_passwords_is_asked_with_one(
    pi: ssh.Ssh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, methods: str
) -> None:
    says(monkeypatch, tmp_path, f"pi@pi.lan: Permission denied ({methods}).")
    with pytest.raises(ssh.PasswordNeededError):
        pi.run("true")
    pi.password = "guess"
    with pytest.raises(ssh.WrongPasswordError):
        pi.run("true")


def test_a_command_that_fails_there_is_no_failure_of_ssh(
    pi: ssh.Ssh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    says(monkeypatch, tmp_path, "sudo: a password is required", code=1)
    assert pi.run("sudo -n true") == ssh.Done(1, "", "sudo: a password is required")


def test_the_host_key_is_known_and_forgotten_for_this_address_and_port_alone(
    tmp_path: Path,
) -> None:
    ssh.make_key(tmp_path / "key", "test")
    kind, key, _ = (tmp_path / "key.pub").read_text().split()
    known = tmp_path / "known hosts"
    known.write_text(f"pi.lan {kind} {key}\n[pi.lan]:2222 {kind} {key}\n")
    pi = ssh.Ssh("pi.lan", None, known_hosts=known, port=2222)
    assert str(pi.fingerprint()).startswith("ED25519 SHA256:")
    assert pi.forget()
    assert not pi.forget()
    assert known.read_text() == f"pi.lan {kind} {key}\n"
    assert not known.with_name("known hosts.old").exists()


def test_a_key_with_a_passphrase_is_of_no_use(tmp_path: Path) -> None:
    locked, open_ = tmp_path / "locked", tmp_path / "open"
    ssh._ssh_keygen("-q", "-t", "ed25519", "-N", "secret", "-f", str(locked))
    ssh.make_key(open_, "test")
    assert ssh.usable_key([tmp_path / "none", locked, open_]) == open_
    assert ssh.usable_key([locked]) is None
    assert stat.S_IMODE(open_.stat().st_mode) == 0o600


def test_no_password_stands_in_the_command_line(
    pi: ssh.Ssh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    says(monkeypatch, tmp_path, "", code=0)
    program = tmp_path / "bin/ssh"
    program.write_text('#!/bin/sh\necho "$@"; "$SSH_ASKPASS"; cat\n')
    pi.password = "raspberry & 'salt'"
    done = pi.run("echo it", text="input")
    words, password, text = done.output.split("\n")
    assert "raspberry" not in words
    assert (password, text) == (pi.password, "input")
