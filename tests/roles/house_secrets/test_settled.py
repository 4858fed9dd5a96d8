"""Which value of a secret is right, for everything that can happen to two copies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pytest

from project_files import load

house_secrets = load("roles/house_secrets/filter_plugins/house_secrets.py")


def settle(
    here: Mapping[str, str], there: Mapping[str, str], agreed: Mapping[str, str] = {}
) -> dict[str, Any]:
    record = {name: house_secrets.fingerprint(name, value) for name, value in agreed.items()}
    settled: dict[str, Any] = house_secrets.settled(
        here, there, record, made=["a"], easy=[], given=["mail"]
    )
    return settled


@pytest.mark.parametrize(
    ("here", "there", "agreed", "right", "taken_over"),
    [
        pytest.param("x", None, None, "x", False, id="a new card"),
        pytest.param("x", None, "x", "x", False, id="a new card, known before"),
        pytest.param(None, "x", None, "x", False, id="a new controller"),
        pytest.param("x", "x", None, "x", False, id="interrupted before the record"),
        pytest.param("x", "x", "old", "x", False, id="record older than both"),
        pytest.param("new", "x", "x", "new", False, id="the owner edited the controller's"),
        pytest.param("x", "new", "x", "new", True, id="another controller changed it"),
        pytest.param("n", "m", "x", "m", True, id="both changed: what services run with"),
        pytest.param("n", "m", None, "m", True, id="no record: what services run with"),
    ],
)
def test_two_copies(
    here: str | None, there: str | None, agreed: str | None, right: str, taken_over: bool
) -> None:
    def only(value: str | None) -> dict[str, str]:
        return {} if value is None else {"a": value}

    settled = settle(only(here), only(there), only(agreed))
    assert settled["secrets"] == {"a": right}
    assert settled["agreed"] == {"a": house_secrets.fingerprint("a", right)}
    assert settled["taken_over"] == (["a"] if taken_over else [])


def test_two_controllers_and_a_change_on_each() -> None:
    """Follow a secret through two controllers: nobody's change is set back by the other."""
    pi, record_1, record_2 = {"a": "x"}, {"a": "x"}, {"a": "x"}
    pi = settle({"a": "y"}, pi, record_1)["secrets"]  # the owner edits it on the first
    record_1 = pi
    second = settle({"a": "x"}, pi, record_2)  # the second one is stale
    assert second["secrets"] == {"a": "y"}
    record_2 = second["secrets"]
    pi = settle({"a": "z"}, pi, record_2)["secrets"]  # edited on the second
    assert settle({"a": "y"}, pi, record_1)["secrets"] == {"a": "z"}


def test_what_nobody_has_is_made_each_time_anew() -> None:
    one, two = settle({}, {})["secrets"], settle({}, {})["secrets"]
    assert one.keys() == two.keys() == {"a"}
    assert one != two
    assert re.fullmatch(r"[A-Za-z0-9]{32}", one["a"])


def test_what_only_the_owner_can_give_is_kept_but_never_made() -> None:
    assert "mail" not in settle({}, {})["secrets"]
    assert settle({"mail": "m"}, {})["secrets"]["mail"] == "m"
    assert settle({}, {"mail": "m"})["secrets"]["mail"] == "m"


def test_a_secret_of_a_later_version_joins_the_old_ones() -> None:
    settled = house_secrets.settled(
        {"a": "x"}, {"a": "x"}, {}, made=["a", "b"], easy=["b"], given=[]
    )
    assert settled["secrets"]["a"] == "x"
    assert re.fullmatch(r"([a-z0-9]{4}-){3}[a-z0-9]{4}", settled["secrets"]["b"])


def test_the_easy_one_is_strong_and_without_look_alikes() -> None:
    alphabet = house_secrets.EASY_ALPHABET
    letters = house_secrets.EASY_GROUPS * house_secrets.EASY_GROUP_LENGTH
    assert letters * math.log2(len(alphabet)) >= 70
    assert len(set(alphabet)) == len(alphabet)
    assert not set(alphabet) & set("0oO1ilI2z5suv")
