"""What the role writes for Grafana."""

from __future__ import annotations

import configparser

import pytest
import yaml
from tests.roles.grafana.conftest import ROLE, SECRETS, RenderRole


def test_no_secret_is_in_a_file_but_its_own(render_role: RenderRole) -> None:
    folder = render_role()
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            text = path.read_text()
            assert not [secret for secret in SECRETS.values() if secret in text], path


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("analytics", "reporting_enabled", "false"),
        ("analytics", "check_for_updates", "false"),
        ("analytics", "check_for_plugin_updates", "false"),
        ("plugins", "preinstall_disabled", "true"),
        ("plugins", "public_key_retrieval_disabled", "true"),
        ("news", "news_feed_enabled", "false"),
        ("security", "disable_gravatar", "true"),
        ("users", "allow_sign_up", "false"),
        ("auth.anonymous", "enabled", "false"),
        ("snapshots", "external_enabled", "false"),
        ("server", "root_url", "http://pi.local:3000/"),
        ("date_formats", "default_timezone", "Europe/Berlin"),
    ],
)
def test_the_server_is_kept_to_itself(
    render_role: RenderRole, section: str, key: str, value: str
) -> None:
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(render_role() / "grafana.ini")
    assert ini.get(section, key) == value


def test_names_with_dollars_and_quotes_survive_provisioning(render_role: RenderRole) -> None:
    folder = render_role(grafana_datasource_user='a"$b', grafana_datasource_interval_s=10)
    path = folder / "provisioning" / "datasources" / "house-power.yaml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    assert source["user"] == 'a"$$b'  # Grafana's word for one dollar
    assert source["uid"] == "house-power"
    assert source["jsonData"]["timeInterval"] == "10s"


def test_memory_limits_leave_each_other_room(render_role: RenderRole) -> None:
    text = (render_role(grafana_memory_mib=100) / "drop-in.conf").read_text()
    for line in ("GOMEMLIMIT=100MiB", "MemoryHigh=200M", "MemoryMax=300M", "OOMScoreAdjust=500"):
        assert line in text


def test_every_variable_is_described_with_its_default() -> None:
    specification = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())
    options = specification["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    described = {name: option["default"] for name, option in options.items() if "default" in option}
    assert described == defaults
    assert {name for name, option in options.items() if option.get("no_log")} == {
        "grafana_admin_password",
        "grafana_secret_key",
        "grafana_viewer_password",
        "grafana_datasource_password",
    }
