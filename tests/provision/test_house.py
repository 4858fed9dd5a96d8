"""What may be written about a house, and what is said about the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from controller import house
from controller.messages import ProblemError

INPUT = yaml.safe_load(Path(__file__).with_name("bad_input.yml").read_text(encoding="utf-8"))
METER = "{name: a, address: 4, supply: utility}"


def cases(kind: str) -> list[tuple[str, str]]:
    return [(case["text"], case["says"]) for case in INPUT[kind]]


def complaints(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "house.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProblemError) as caught:
        house.read_house(path, "house.yml")
    assert caught.value.code == 2
    return list(caught.value.lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *cases("house"),
        (b"house_name: \xff", "house.yml: not UTF-8 text; save it as UTF-8"),
        (b"house_name: a\x00b", "house.yml: not YAML: unacceptable character"),
        ("a: " + "[" * 1200, "house.yml: not YAML: "),
    ],
)
def test_bad_input_gets_one_clear_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    lines = complaints(tmp_path, text)
    assert [line for line in lines if says in line], lines
    assert len(lines) == 1, lines
    assert "\n" not in lines[0]


def test_all_complaints_come_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    meters = "house_meters:\n  - {name: a, supply: x}\n"
    text = f"house_upgrade: 1\n{meters}house_nam: y\nhouse_interval_s: 7\n"
    assert [line.split(":")[1] for line in complaints(tmp_path, text)] == ["1", "3", "3", "4", "5"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "house_timezone: Europe/Paris",
        'house_timezone: ""',
        "house_name: summer-house_2",
        f"house_meters:\n  - {METER}",
        "house_meters:\n  - {name: a, address: 4, supply: utility, breaker_amps: 200}",
        "house_meters:\n  - {name: a, address: 4, supply: utility, replaced: 2024-02-29}",
        "house_nominal_volts: 230\nhouse_generator_va: 3500",
        "house_generator_va: 0\nhouse_generator_serviced: ''",
        "house_generator_serviced: 2026-05-31",
        "house_generator_serviced: '2026-05-31'",
        "house_energy_reset: false\nhouse_spool_max_mb: 10000",
        "house_pi_fed_from: panel_a",
        "house_pi_fed_from: ''",
        "influxdb_version: '1.8.10'",
        "\ufeffhouse_name: x",
        "house_name: x\r\nhouse_lan_view: yes\r\n",
    ],
)
def test_good_input_is_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "house.yml"
    path.write_text(text, encoding="utf-8", newline="")
    read = house.read_house(path, "house.yml")
    assert read.values.keys() >= house.defaults().keys()


README = (house.ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(house_.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_examples_are_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "house.yml"
    path.write_text(text, encoding="utf-8")
    assert house.read_house(path, "house.yml").values["house_tariffs"]


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert house.read_house(tmp_path / "none.yml", "").values == house.defaults()


def test_the_example_says_what_holds_without_it(tmp_path: Path) -> None:
    """Uncommented, the example is exactly the defaults: it documents every key, and rightly.

    But it describes the original wiring, where it is known what powers the Pi.
    """
    text = (house.ROOT / f"{house.HOUSE_FILE}.example").read_text(encoding="utf-8")
    shown = re.sub(r"^# (house_\w+:)", r"\1", text, flags=re.MULTILINE)
    assert yaml.safe_load(shown) == {**house.defaults(), "house_pi_fed_from": "panel_b"}
    path = tmp_path / "house.yml"
    path.write_text(shown, encoding="utf-8")
    house.read_house(path, "house.yml")


@pytest.mark.parametrize(("text", "says"), cases("hosts"))
def test_bad_hosts_get_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    with pytest.raises(ProblemError) as caught:
        house.read_hosts(path, "hosts.yml")
    assert len(caught.value.lines) == 1, caught.value.lines
    assert says in caught.value.lines[0]


def test_the_example_of_hosts_is_good() -> None:
    hosts = house.read_hosts(house.ROOT / f"{house.HOSTS_FILE}.example", "hosts.yml")
    assert [(host.name, host.address) for host in hosts] == [("housepower", "housepower.local")]
