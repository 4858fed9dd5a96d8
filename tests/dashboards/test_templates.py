"""What holds for every dashboard, whatever the house: Grafana accepts it and people can read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from tests.dashboards.conftest import TEMPLATES, Dashboard, Panel, meters, render, targets

COLUMNS: Final = 24
SHARED: Final = "-- Dashboard --"
"""Grafana's name for what another panel of the same dashboard has got."""

METERS: Final = r"\"meter\" (?:= '(\w+)'|=~ /\^\(([\w|]+)\)\$/)"

HOUSES: Final = {
    "one-meter": {"grafana_meters": meters(1)},
    "three-meters": {"grafana_meters": meters(3)},
    "five-meters": {"grafana_meters": meters(5)},
    "no-generator": {"grafana_meters": [meters(5)[i] for i in (0, 3, 4)]},
    "own-supply": {"grafana_meters": [{**meter, "fed_from": "own"} for meter in meters(3)]},
    "slow": {"grafana_datasource_interval_s": 60},
    "no-rating": {"grafana_generator_va": 0},
    "readings-for-ever": {"grafana_raw_kept": "INF"},
}


@pytest.fixture(params=[pytest.param(path, id=path.name) for path in TEMPLATES])
def template(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(params=list(HOUSES.values()), ids=list(HOUSES))
def dashboard(template: Path, request: pytest.FixtureRequest) -> Dashboard:
    return render(template, **request.param)


def test_there_are_dashboards() -> None:
    assert TEMPLATES


def test_it_is_known_by_the_name_of_its_file(template: Path, dashboard: Dashboard) -> None:
    assert dashboard["uid"] == template.name.removesuffix(".json.j2")


def test_every_panel_has_an_id_of_its_own(dashboard: Dashboard) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_fill_the_page_without_overlap_or_hole(dashboard: Dashboard) -> None:
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    height = 1 + max(y for _, y in cells)
    assert sorted(cells) == [(x, y) for x in range(COLUMNS) for y in range(height)]


def test_panels_are_listed_as_a_phone_stacks_them(dashboard: Dashboard) -> None:
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in dashboard["panels"]]
    assert places == sorted(places)


def test_every_panel_says_in_one_sentence_what_it_shows(dashboard: Dashboard) -> None:
    for panel in dashboard["panels"]:
        assert re.fullmatch(r"[A-Z][^.]{15,}\.", panel["description"]), panel["title"]


def test_every_number_has_a_unit_or_a_word_for_it(dashboard: Dashboard) -> None:
    for panel in dashboard["panels"]:
        defaults = panel["fieldConfig"]["defaults"]
        units = defaults.get("unit") or defaults.get("mappings")
        assert units or _names_with_units(panel), panel["title"]


def test_every_panel_says_that_it_has_nothing_to_show(dashboard: Dashboard) -> None:
    for panel in dashboard["panels"]:
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


def test_only_the_given_data_source_is_asked(dashboard: Dashboard) -> None:
    ids = {panel["id"]: panel for panel in dashboard["panels"]}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            if target["datasource"]["uid"] == SHARED:
                assert targets(ids[target["panelId"]]), "it shows what another one does not ask for"
            else:
                assert target["datasource"] == {"type": "influxdb", "uid": "some-uid"}


def test_every_meter_is_shown_by_its_label(dashboard: Dashboard) -> None:
    words = str(dashboard["panels"])
    asked = {
        name
        for panel in dashboard["panels"]
        for target in targets(panel)
        for equal, among in re.findall(METERS, target["query"])
        for name in (equal or among).split("|")
    }
    shown = {meter["name"]: meter["label"] for meter in meters(5)}
    is_about_generators = dashboard["uid"] == "generator"
    assert asked or (is_about_generators and "Hours in all" not in words)
    for name in asked:
        assert repr(shown[name])[1:-1] in words


def test_nothing_of_a_house_is_in_the_template(template: Path) -> None:
    text = template.read_text()
    for word in ("mainA", "mainB", "'gen'", "Leg A", "house-power", "housePower", "Europe/"):
        assert word not in text


def test_the_house_is_named(dashboard: Dashboard) -> None:
    assert dashboard["title"].endswith(" my house")


def test_every_page_leads_to_all_others(dashboard: Dashboard) -> None:
    pages = {path.name.removesuffix(".json.j2") for path in TEMPLATES}
    led_to = [link["url"].removeprefix("/d/") for link in dashboard["links"]]
    assert sorted(led_to) == sorted(pages - {dashboard["uid"]})


def test_a_panel_asks_each_question_once(dashboard: Dashboard) -> None:
    for panel in dashboard["panels"]:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names), panel["title"]


def test_what_is_given_to_grafana_is_still_there(dashboard: Dashboard) -> None:
    assert not re.search(r"<<|>>|<%|%>|<#", str(dashboard))
    assert dashboard["timezone"] == "Europe/Berlin"


def _names_with_units(panel: Panel) -> bool:
    overrides: list[dict[str, Any]] = panel["fieldConfig"]["overrides"]
    return bool(overrides) and all(
        any(rule["id"] == "unit" for rule in override["properties"]) for override in overrides
    )
