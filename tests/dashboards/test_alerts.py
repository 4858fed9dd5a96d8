"""What the house writes about: one table, and what Grafana is given of it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Final

import jinja2
import pytest
import yaml
from tests.dashboards.conftest import ROLE, ROOT, Database, filled, meters

from pzem.house import alarms

FOLDER: Final = ROOT / "files" / "alerts"
TABLE: Final[list[dict[str, Any]]] = yaml.safe_load((FOLDER / "rules.yml").read_text())


def provisioned(**changes: object) -> dict[str, Any]:
    """Return what the role `grafana` writes for a house of three meters, but for what is given."""
    delimiters = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__grafana_delimiters"]
    environment = jinja2.Environment(
        autoescape=False,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        **{f"{name}_string": mark for name, mark in delimiters.items()},
    )
    variables: dict[str, object] = {
        "__grafana_header": "header",
        "__grafana_rules": TABLE,
        "grafana_meters": meters(3),
        "grafana_datasource_uid": "some-uid",
        "grafana_datasource_interval_s": 5,
        "grafana_house_name": "my house",
        "grafana_mail_recipients": ["me@example.com", "you@example.com"],
    }
    template = environment.from_string((FOLDER / "alerting.yaml.j2").read_text())
    document: dict[str, Any] = yaml.safe_load(template.render(variables | changes))
    return document


def rules(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (group,) = document["groups"]
    return {rule["uid"]: rule for rule in group["rules"]}


def test_every_condition_of_the_collector_has_a_rule() -> None:
    reported = {rule["kind"] for rule in TABLE if "kind" in rule}
    declared = set(
        re.findall(r'^[A-Z_]+: Final = "([a-z_]+)"$', Path(alarms.__file__).read_text(), re.M)
    )
    assert reported == declared


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: str(rule["name"]))
def test_a_rule_says_what_happened_that_it_is_over_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch("[a-z-]{1,40}", rule["name"])
    for key in ("says", "over"):
        assert re.fullmatch(r"[A-Z][^.]+[^.\s]", rule[key])
        assert ("METER" in rule[key]) is rule.get("each", False)
    assert rule["do"].endswith(".")
    assert ("kind" in rule) != ("query" in rule)


def test_names_are_unique() -> None:
    names = [rule["name"] for rule in TABLE]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("count", "missing"),
    [
        (5, set()),
        (2, {"generator-running", "generator-overload", "both-supplies"}),
        (1, {"generator-running", "generator-overload", "both-supplies", "loose-neutral"}),
    ],
)
def test_a_house_gets_the_rules_that_it_can_need(count: int, missing: set[str]) -> None:
    document = provisioned(grafana_meters=meters(count))
    assert rules(document).keys() == {rule["name"] for rule in TABLE} - missing
    assert {rule["uid"] for rule in document["deleteRules"] or []} == missing


def test_a_meter_is_called_by_its_label() -> None:
    summary = rules(provisioned(grafana_meters=meters(4)))["meter-silent"]["annotations"]["summary"]
    labels = dict(re.findall(r'if eq \$labels.meter "(\w+)" }}(.*?){{', summary))
    assert labels == {meter["name"]: meter["label"] for meter in meters(4)}
    assert summary.count("{{ end }}") == 1


def test_one_rule_alone_tells_that_nothing_comes() -> None:
    silent = [
        name
        for name, rule in rules(provisioned()).items()
        if "Alerting" in (rule["noDataState"], rule["execErrState"])
    ]
    assert silent == ["nothing-stored"]


def test_mail_goes_to_the_recipients_and_to_nobody_without_any() -> None:
    (point,) = provisioned()["contactPoints"]
    assert point["receivers"][0]["settings"]["addresses"] == "me@example.com;you@example.com"
    without = provisioned(grafana_mail_recipients=[])
    assert "contactPoints" not in without
    assert without["resetPolicies"] == [1]


def asked(database: Database, rule: dict[str, Any], now_s: int) -> dict[str, float]:
    """Return the last value of each series, by meter."""
    query = rule["data"][0]["model"]["query"]
    seen_s = rule["data"][0]["relativeTimeRange"]["from"]
    rows = database.server.query(filled(query, now_s - seen_s, now_s), database.name)
    values = ("last", "mean", "count")
    return {row.get("meter", ""): row[next(v for v in values if v in row)] for row in rows}


@pytest.mark.parametrize("entry", TABLE, ids=lambda rule: str(rule["name"]))
def test_each_question_is_answered(entry: dict[str, Any], database: Database) -> None:
    database.server.query(
        f"CREATE RETENTION POLICY raw ON {database.name} DURATION INF REPLICATION 1 DEFAULT"
    )
    now_s = int(time.time())
    rule = rules(provisioned())[entry["name"]]
    assert asked(database, rule, now_s) in ({}, {"": 0})
    if "kind" in entry:
        tag = ",meter=zz2" if entry.get("each") else ""
        for active, age_s in ((1, 10), (0, 5)):
            database.write(
                f"alarm_state,kind={entry['kind']}{tag} active={active}.0 {now_s - age_s}"
            )
            database.write(f"alarm_state,kind=another active=1.0 {now_s - age_s}")
            assert asked(database, rule, now_s) == {"zz2" if tag else "": active}
    else:
        database.write(f"host cpu_celsius=85.0 {now_s - 5}", f"collector cycle_s=0.1 {now_s - 5}")
        limit = rule["data"][2]["model"]["conditions"][0]["evaluator"]
        (value,) = asked(database, rule, now_s).values()
        assert (value > limit["params"][0]) is (limit["type"] == "gt") or entry.get("silence")
