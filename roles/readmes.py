"""Write the README.md of every role from its argument_specs.

Usage: python roles/readmes.py [--check]; with --check nothing is written, and the exit
status is 1 if a README is not what it would be.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
import yaml

ROLES: Final = Path(__file__).parent
_MARKUP: Final = re.compile(r"\b[BCIOV]\(((?:[^()]|\([^()]*\))*)\)")
"""Ansible's markup of documentation, as C(code)."""


def readme(role: Path) -> str:
    """Return the README of `role`; raises `OSError` if it has no argument_specs."""
    text = (role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    spec = yaml.safe_load(text)["argument_specs"]["main"]
    spec.setdefault("options", {})
    if isinstance(spec["description"], str):
        spec["description"] = [spec["description"]]
    required = [name for name, option in spec["options"].items() if option.get("required")]
    return _template().render(name=role.name, spec=spec, example=required)


def outdated() -> dict[Path, str]:
    """Return the READMEs that are missing or not up to date, with what they should be."""
    wanted = {
        specs.parents[1] / "README.md": readme(specs.parents[1])
        for specs in sorted(ROLES.glob("*/meta/argument_specs.yml"))
    }
    return {
        path: text
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def _template() -> jinja2.Template:
    environment = jinja2.Environment(  # noqa: S701 # Markdown, from files of this project
        loader=jinja2.FileSystemLoader(ROLES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "kind": _kind,
        "default_value": _default,
        "sentences": lambda text: text if isinstance(text, str) else " ".join(text),
        "plain": lambda text: _MARKUP.sub(r"`\1`", text),
        "cell": lambda text: " ".join(text.split()).replace("|", "\\|"),
    }
    return environment.get_template("README.md.j2")


def _kind(option: Mapping[str, Any]) -> str:
    kind = option.get("type", "str")
    if kind == "list" and "elements" in option:
        kind = f"list of {option['elements']}"
    if "choices" in option:
        kind = " \\| ".join(f"`{choice}`" for choice in option["choices"])
    return str(kind)


def _default(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    shown = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{shown}`".replace("|", "\\|")


def main() -> int:
    """Write or check the READMEs; return the exit status."""
    changed = outdated()
    if "--check" not in sys.argv[1:]:
        for path, text in changed.items():
            path.write_text(text, encoding="utf-8")
        return 0
    for path in changed:
        sys.stderr.write(f"{path}: not up to date; run: python roles/readmes.py\n")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
