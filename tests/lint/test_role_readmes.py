"""Every role is documented, by a README that says what its argument_specs say."""

from __future__ import annotations

from pathlib import Path

from project_files import load

ROLES = Path(__file__).parents[2] / "roles"


def test_the_readme_of_every_role_is_up_to_date() -> None:
    readmes = load("roles/readmes.py")
    outdated = [str(path.relative_to(ROLES)) for path in readmes.outdated()]
    assert outdated == [], "run: python roles/readmes.py"


def test_every_role_has_argument_specs() -> None:
    roles = {tasks.parent.name for tasks in ROLES.glob("*/tasks")}
    described = {specs.parents[1].name for specs in ROLES.glob("*/meta/argument_specs.yml")}
    assert described == roles != set()
