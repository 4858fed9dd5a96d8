"""YAML that remembers on which line each key stands, and refuses what only looks right.

A key that is set twice is an error here, although YAML parsers let the last one win: the
one that its writer looks at may be the other.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

Key = tuple[str | int, ...]

_DAY_TAG = "tag:yaml.org,2002:timestamp"


class Document:
    """A YAML file: its `values`, and for each key the line that sets it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.values: dict[str, Any] = {}
        self.lines: dict[Key, int] = {}
        self.complaints: list[str] = []

    def complain(self, key: Key, problem: str, mend: str) -> None:
        """Add a complaint about `key`, at the nearest line that is known."""
        number = 1
        for length in range(len(key), 0, -1):
            if key[:length] in self.lines:
                number = self.lines[key[:length]]
                break
        self.complaints.append(f"{self.source}:{number}: {spell(key)}: {problem}; {mend}")


def spell(key: Key) -> str:
    """Spell a key as a reader counts: the third meter is `house_meters[3]`."""
    spelled = ""
    for part in key:
        spelled += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if spelled else part
    return spelled


def load(path: Path, source: str) -> Document:
    """Read a file whose top level is a list of keys; what is wrong is among the complaints."""
    document = Document(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        document.complaints.append(f"{source}: cannot be read: {error.strerror}")
        return document
    except UnicodeDecodeError:
        document.complaints.append(f"{source}: not UTF-8 text; save it as UTF-8")
        return document
    try:
        _Walker(document).read(text)
    except yaml.MarkedYAMLError as error:
        document.complaints.append(_syntax_complaint(error, text, source))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split("\n")[0].split())
        document.complaints.append(f"{source}: not YAML: {why or 'too deep'}; mend the file")
    return document


def _syntax_complaint(error: yaml.MarkedYAMLError, text: str, source: str) -> str:
    mark = error.problem_mark or error.context_mark
    number = mark.line + 1 if mark else 1
    problem = " ".join((error.problem or error.context or "it cannot be read").split())
    lines = text.splitlines()
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return f"{source}:{number}: a tab; YAML wants spaces: replace it by spaces"
    mend = "look at this line and the one above it: a missing colon, quote or bracket?"
    return f"{source}:{number}: not YAML: {problem}; {mend}"


class _Walker:
    """Turns nodes into values, keeping lines."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()

    def read(self, text: str) -> None:
        loader = yaml.SafeLoader(text)
        try:
            self._loader = loader
            node = loader.get_single_node()
            if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
                return
            values = self._value(node, ())
        finally:
            loader.dispose()
        if isinstance(values, dict):
            self._document.values = values
        else:
            self._document.complaints.append(
                f"{self._document.source}:1: holds no keys; see the example beside it"
            )

    def _value(self, node: yaml.Node, at: Key) -> object:
        if id(node) in self._open:
            raise ValueError("a value that contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, at)
            if isinstance(node, yaml.SequenceNode):
                return [self._item(item, (*at, n)) for n, item in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.Node) -> object:
        try:
            return self._loader.construct_object(node, deep=True)
        except ValueError:  # 2026-02-30 has the form of a day: left to who wants one
            if isinstance(node, yaml.ScalarNode) and node.tag == _DAY_TAG:
                return node.value
            raise

    def _item(self, node: yaml.Node, at: Key) -> object:
        self._document.lines[at] = node.start_mark.line + 1
        return self._value(node, at)

    def _mapping(self, node: yaml.MappingNode, at: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            number = key_node.start_mark.line + 1
            key = self._loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                scalar = isinstance(key_node, yaml.ScalarNode)
                shown = key_node.value if scalar else "what stands in braces or brackets"
                self._document.complaints.append(
                    f"{self._document.source}:{number}: {shown} is not a key; put it in quotes"
                )
                if not isinstance(key, Hashable):
                    continue
                key = str(shown)
            if key in values:
                first = self._document.lines[*at, key]
                self._document.complaints.append(
                    f"{self._document.source}:{number}: {spell((*at, key))}: "
                    f"set on line {first} too; keep one of them"
                )
            self._document.lines[*at, key] = number
            values[key] = self._value(value_node, (*at, key))
        return values
