"""The command `provision`, up to where Ansible begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from controller import ansible, provision, reach, terminal
from controller.house import ROOT, Host, read_house
from controller.messages import ProblemError
from controller.place import HouseFolder, passing_folder
from controller.ssh import Done

HOSTS = """
house:
  hosts:
    garage: {ansible_host: 192.168.1.5, ansible_user: pi, ansible_port: 2222}
    cellar: {ansible_host: cellar.lan}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the command a project of its own to look for the owner's files in."""
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    for name in ("inventory/hosts.yml.example", "inventory/group_vars/house.yml.example"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(provision, "ROOT", tmp_path)
    monkeypatch.setattr(ansible, "ROOT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("target", "name", "settings"),
    [
        ("pi@192.168.1.9", "192.168.1.9", {"ansible_host": "192.168.1.9", "ansible_user": "pi"}),
        ("power.local", "power.local", {"ansible_host": "power.local"}),
        (
            "pi@[fe80::1%eth0]",
            "fe80::1%eth0",
            {"ansible_host": "fe80::1%eth0", "ansible_user": "pi"},
        ),
        (
            "garage",
            "garage",
            {"ansible_host": "192.168.1.5", "ansible_user": "pi", "ansible_port": 2222},
        ),
        (
            "me@192.168.1.5",
            "192.168.1.5",
            {"ansible_host": "192.168.1.5", "ansible_user": "me", "ansible_port": 2222},
        ),
    ],
)
def test_a_target_is_that_machine_alone(
    root: Path, target: str, name: str, settings: dict[str, str | int]
) -> None:
    (root / "inventory/hosts.yml").write_text(HOSTS)
    assert provision.find_hosts(target) == [Host(name, settings)]


def test_without_a_target_it_is_those_of_the_file(root: Path) -> None:
    (root / "inventory/hosts.yml").write_text(HOSTS)
    assert [host.name for host in provision.find_hosts(None)] == ["garage", "cellar"]


def test_without_target_and_file_the_file_is_made_and_told(root: Path) -> None:
    with pytest.raises(ProblemError, match=r"which Raspberry Pi\? .*provision pi@"):
        provision.find_hosts(None)
    assert (root / "inventory/hosts.yml").exists()


@pytest.mark.parametrize("target", ["a b", "pi@", "-x", "pi@a;reboot", "pi@-oProxyCommand=x"])
def test_what_is_no_machine_is_refused(root: Path, target: str) -> None:
    with pytest.raises(ProblemError, match="is no machine"):
        provision.find_hosts(target)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        (Host("localhost"), True),
        (Host("x", {"ansible_host": "127.0.0.1"}), True),
        (Host("x", {"ansible_connection": "local"}), True),
        (Host("localhost.lan"), False),
        (Host("x", {"ansible_host": "127.0.0.1", "ansible_port": 2222}), False),
        (Host("x", {"ansible_host": "127.0.0.1", "ansible_connection": "ssh"}), False),
    ],
)
def test_what_is_this_very_machine(host: Host, local: bool) -> None:
    assert provision.is_local(host) is local


@pytest.mark.parametrize(
    ("name", "in_the_inventory"),
    [
        ("garage", "garage"),
        ("192.168.1.5", "192.168.1.5"),
        ("127.0.0.1", "pi"),
        ("fe80::1%2", "pi"),
    ],
)
def test_ansible_takes_no_machine_at_a_tunnel_for_this_one(
    name: str, in_the_inventory: str
) -> None:
    # What a role delegates to localhost would run over there.
    assert provision.inventory_name(Host(name)) == in_the_inventory


def test_the_inventory_knows_one_machine_and_what_the_owner_wrote(root: Path) -> None:
    (root / "inventory/hosts.yml").write_text(HOSTS)
    (root / "inventory/group_vars/house.yml").write_text("house_name: x\n")
    with passing_folder() as folder:
        path = ansible.inventory(folder, "garage", {"ansible_host": "192.168.1.5"})
        hosts = json.loads(path.read_text())["house"]["hosts"]
        assert list(hosts) == ["garage"]
        assert hosts["garage"]["ansible_host"] == "192.168.1.5"
        assert (folder / "group_vars/house.yml").read_text() == "house_name: x\n"
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert (root / "inventory/group_vars/house.yml").exists()


@pytest.mark.parametrize(
    ("content", "password"), [("raspberry\n", "raspberry"), (" with spaces \r\n", " with spaces ")]
)
def test_a_password_file_is_meant_as_seen_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, password: str
) -> None:
    (tmp_path / "secret").write_text(content, newline="")
    monkeypatch.setenv("APPLIANCE_CALLED_FROM", str(tmp_path))
    assert provision.read_password(Path("secret")) == password


def test_a_password_file_that_is_missing_or_empty_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ProblemError, match="is empty; write the password in it"):
        provision.read_password(tmp_path / "empty")
    with pytest.raises(ProblemError, match="cannot be read"):
        provision.read_password(tmp_path / "none")


def test_a_check_copies_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision, "_provision", lambda *_: 0)
    assert provision.main(["pi@192.168.1.9", "--check"]) == 0
    assert not (root / "inventory/group_vars/house.yml").exists()
    assert provision.main(["pi@192.168.1.9"]) == 0
    assert (root / "inventory/group_vars/house.yml").exists()


def test_a_wrong_description_is_told_before_anything_else(root: Path) -> None:
    (root / "inventory/group_vars/house.yml").write_text("house_nam: x\n")
    with pytest.raises(ProblemError, match=r"house\.yml:1: house_nam: unknown key"):
        provision.main(["pi@192.0.2.1"])


class Machine:
    """Plays a Pi whose sudo wants `password`; None if it wants none."""

    target = "pi@pi.lan"

    def __init__(self, password: str | None, errors: str = "sudo: 1 incorrect password") -> None:
        self.password = password
        self.errors = errors
        self.tried: list[str] = []

    def run(self, script: str, *, text: str = "") -> Done:
        if script == reach._LOOK:
            return Done(0 if self.password is None else 1, "", "sudo: a password is required")
        self.tried.append(text.removesuffix("\n"))
        assert self.password not in script.split()
        return Done(0, "", "") if self.tried[-1] == self.password else Done(1, "", self.errors)


@pytest.fixture
def unattended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "attended", lambda: False)


@pytest.mark.usefixtures("unattended")
def test_no_password_is_asked_for_where_none_is_wanted() -> None:
    machine = Machine(None)
    assert reach.root_password(machine) is None
    assert machine.tried == []


@pytest.mark.usefixtures("unattended")
def test_what_is_given_is_used_and_what_is_likely_tried() -> None:
    assert reach.root_password(Machine("raspberry"), given="raspberry") == "raspberry"
    assert reach.root_password(Machine("raspberry"), likely="raspberry") == "raspberry"


@pytest.mark.usefixtures("unattended")
def test_with_nobody_to_ask_the_way_out_is_told() -> None:
    with pytest.raises(ProblemError, match=r"no terminal to ask at; .* --password-file FILE"):
        reach.root_password(Machine("raspberry"))
    with pytest.raises(ProblemError, match="sudo does not take the password"):
        reach.root_password(Machine("raspberry"), given="wrong")


def test_a_password_is_asked_for_three_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["a", "", "raspberry", "never asked"])
    monkeypatch.setattr(terminal, "attended", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    assert reach.root_password(Machine("raspberry")) == "raspberry"
    assert next(answers) == "never asked"

    answers = iter(["a", "b", "c", "never asked"])
    with pytest.raises(ProblemError, match="sudo does not take the password"):
        reach.root_password(Machine("raspberry"))
    assert next(answers) == "never asked"


@pytest.mark.usefixtures("unattended")
def test_a_user_who_may_not_is_told_apart_from_a_wrong_password() -> None:
    machine = Machine("x", "guest is not in the sudoers file.")
    with pytest.raises(ProblemError, match=r"may not use sudo .*adduser USER sudo"):
        reach.root_password(machine, given="y")


@pytest.mark.parametrize(
    ("code", "says"), [(reach._NO_PYTHON, "apt install python3"), (reach._NO_SUDO, "has no sudo")]
)
def test_what_the_pi_lacks_is_told(code: int, says: str) -> None:
    class Bare(Machine):
        def run(self, script: str, *, text: str = "") -> Done:
            return Done(code, "", "")

    with pytest.raises(ProblemError, match=says):
        reach.root_password(Bare(None))


def test_the_look_at_a_real_machine_works_without_a_password_for_root() -> None:
    done = reach.Here().run("id -u")
    assert done.code == 0
    if done.output.strip() == "0":
        assert reach.root_password(reach.Here()) is None


def test_the_house_keeps_its_log_and_the_one_before(root: Path) -> None:
    folder = HouseFolder("house")
    folder.make()
    folder.new_log().write_text("first")
    assert folder.new_log().read_text() == ""
    assert folder.log.with_suffix(".log.before").read_text() == "first"
    assert {path.stat().st_mode & 0o077 for path in folder.path.parent.rglob("house*")} == {0}
    assert folder.log.stat().st_mode & 0o077 == 0


def test_the_defaults_need_no_file(tmp_path: Path) -> None:
    assert read_house(tmp_path / "none", "").name == "house"
