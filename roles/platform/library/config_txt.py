#!/usr/bin/python3
"""Ansible module: one line of a Raspberry Pi's config.txt that counts for every board."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.boot_file import BootFile, BootFileError

DOCUMENTATION = r"""
module: config_txt
short_description: One line of a Raspberry Pi's config.txt that counts for every board
description:
  - Sees to it that a line takes effect whatever the board, with regard to filters such as C([pi4]),
    C(include) files, and lines that override earlier ones.
  - Changes nothing if the file already has that effect. Otherwise it adds the line at the end,
    under C([all]), below a comment that tells who wrote it. All other bytes stay as they are.
  - Refuses a file that contradicts, naming file, line and remedy. That is another value for
    the same setting which would take effect on some board, or another use of the same GPIO pin.
    What is written below C([none]) counts for no board and contradicts nothing.
  - Before the first change, the file is copied to config.txt.before-appliance.
  - A change creates /run/reboot-required.
options:
  path:
    description: The file. It is created if it does not exist, its folder is not.
    type: path
    required: true
  line:
    description:
      - The line, in one of the forms C(key=value), C(dtparam=name=value) and
        C(dtoverlay=name,parameter=value).
      - With I(state=absent) its value does not matter, only what it sets.
    type: str
    required: true
  owner:
    description: Who wants the line (a role's name); tells the module's own line in the file.
    type: str
    required: true
  state:
    description:
      - C(absent) removes the line that the module has added for this owner and nothing else.
      - An C([all]) that was added along with it stays, since lines below may rely on it.
    type: str
    choices: [present, absent]
    default: present
  exclusive:
    description: Whether the same overlay with other parameters contradicts as well.
    type: bool
    default: false
  remedy:
    description: What else the owner of the Pi can do about a contradiction. Ends its message.
    type: str
    default: ""
author: House power monitor
"""

EXAMPLES = r"""
- name: Have a button at GPIO 17 shut the Pi down
  config_txt:
    path: /boot/firmware/config.txt
    line: dtoverlay=gpio-shutdown,gpio_pin=17,active_low=1,gpio_pull=up
    owner: shutdown_button
"""

RETURN = r"""
added:
  description: Whether the file has a line of this owner.
  type: bool
  returned: success
"""

LONGEST_LINE = 98  # the firmware ignores what comes after
TRUE = {"", "1", "on", "y", "yes", "true"}
FALSE = {"0", "off", "n", "no", "false"}

# Parameters of overlays that name a GPIO pin if their value is a number.
PIN_PARAMETER = re.compile(
    r"gpio|gpio_?pin|pin\d?|pin_[ab]|.*_pin|.*gpio|gpio_(in|out)_pin"
    r"|i2c_gpio_(sda|scl)|interrupt|irq|penirq|extpullup"
)
# Overlays whose pins are not all given in their line: {overlay: {parameter: default}}. A name
# with a leading dot is no parameter but a pin the overlay takes anyway. From the firmware's
# overlays/README. An overlay that is not listed is judged by the pins in its line alone.
PIN_DEFAULTS: dict[str, dict[str, int]] = {
    "at86rf233": {"interrupt": 23, "reset": 24, "sleep": 25},
    "dht11": {"gpiopin": 4},
    "enc28j60": {"int_pin": 25},
    "gpio-charger": {"gpio": 4},
    "gpio-fan": {"gpiopin": 12},
    "gpio-hog": {"gpio": 26},
    "gpio-ir": {"gpio_pin": 18},
    "gpio-ir-tx": {"gpio_pin": 18},
    "gpio-key": {"gpio": 3},
    "gpio-led": {"gpio": 19},
    "gpio-poweroff": {"gpiopin": 26},
    "gpio-shutdown": {"gpio_pin": 3},
    "hy28a": {".penirq": 17, "ledgpio": 18, "resetgpio": 25},
    "hy28b": {".penirq": 17, "ledgpio": 18, "resetgpio": 25},
    "i2c-gpio": {"i2c_gpio_sda": 23, "i2c_gpio_scl": 24},
    "i2c-rtc": {".sda": 2, ".scl": 3},
    "lirc-rpi": {"gpio_out_pin": 17, "gpio_in_pin": 18},
    "mcp2515-can0": {"interrupt": 25},
    "mcp2515-can1": {"interrupt": 25},
    "piscreen": {".penirq": 17, ".dc": 24, ".reset": 25},
    "piscreen2r": {".penirq": 17, ".dc": 24, ".reset": 25},
    "pps-gpio": {"gpiopin": 18},
    "pwm": {"pin": 18},
    "pwm-2chan": {"pin": 18, "pin2": 19},
    "pwm-ir-tx": {"gpio_pin": 18},
    "rotary-encoder": {"pin_a": 4, "pin_b": 17},
    "spi1-1cs": {"cs0_pin": 18, ".miso": 19, ".mosi": 20, ".sclk": 21},
    "spi1-2cs": {"cs0_pin": 18, "cs1_pin": 17, ".miso": 19, ".mosi": 20, ".sclk": 21},
    "spi1-3cs": {
        "cs0_pin": 18,
        "cs1_pin": 17,
        "cs2_pin": 16,
        ".miso": 19,
        ".mosi": 20,
        ".sclk": 21,
    },
    "w1-gpio": {"gpiopin": 4},
    "w1-gpio-pullup": {"gpiopin": 4, "extpullup": 5},
}
# Defaults of overlays that this project loads, so that a shorter line is seen to mean the same.
OVERLAY_DEFAULTS: dict[str, dict[str, str]] = {
    "gpio-shutdown": {"gpio_pin": "3", "active_low": "1", "gpio_pull": "up"},
}
UART_PINS = frozenset({14, 15})
# Overlays that are about the UART on these pins themselves.
UART_OVERLAYS = re.compile(r"(uart[01]|midi-uart[01]|(pi3-)?(disable|miniuart)-bt)(-pi5)?")
BUS_PINS = {
    "i2c": {2, 3},
    "i2c1": {2, 3},
    "i2c_arm": {2, 3},
    "i2s": {18, 19, 20, 21},
    "spi": {7, 8, 9, 10, 11},
    "uart0": set(UART_PINS),
}


@dataclass(frozen=True)
class Reach:
    """For which boards a line counts."""

    always: bool = True  # no filter is in force
    never: bool = False  # below [none]
    filter: str = ""  # the last filter, as written

    def under(self, text: str) -> Reach:
        """Return the reach below one more filter."""
        name = text.strip("[] ").lower()
        if name == "all":
            return Reach()
        # Filters of one kind replace each other: a model ends [none], a pin's level does not.
        of_model = name == "none" or re.fullmatch(r"(pi|cm|board-type).*", name) is not None
        never = name == "none" if of_model else self.never
        return Reach(always=False, never=never, filter=text)


@dataclass(frozen=True)
class Entry:
    """One `key=value` of the file or of a file that it includes."""

    file: str
    number: int
    text: str
    key: str
    value: str
    reach: Reach

    def __str__(self) -> str:
        where = f" (below {self.reach.filter})" if self.reach.filter else ""
        return f'{self.file} line {self.number} says "{self.text}"{where}'


@dataclass
class Overlay:
    """An overlay with its parameters: those of its own line and of dtparam lines after it."""

    entry: Entry
    name: str
    parameters: list[tuple[str, str]] = field(default_factory=list)

    def pins(self) -> set[int]:
        """Return all pins that the overlay takes, or may take on some board."""
        pins = dict(PIN_DEFAULTS.get(self.name, {}))
        if {"i2c0", "i2c_csi_dsi"} & {name for name, _ in self.parameters}:
            pins = {name: pin for name, pin in pins.items() if name not in {".sda", ".scl"}}
        for name, value in self.parameters:
            if (name in pins or PIN_PARAMETER.fullmatch(name)) and value.isdecimal():
                pins[name] = int(value)
        return set(pins.values())

    def has(self, wanted: Overlay) -> bool:
        """Tell whether this is the wanted overlay; further parameters do not matter."""
        mine = OVERLAY_DEFAULTS.get(self.name, {}) | dict(self.parameters)
        return self.name == wanted.name and all(
            name in mine and same(mine[name], value) for name, value in wanted.parameters
        )


def same(one: str, other: str) -> bool:
    """Tell whether two values mean the same: 1, on and true do."""
    return _meaning(one) == _meaning(other)


def _meaning(value: str) -> str:
    value = value.strip().lower()
    if value in TRUE:
        return "1"
    if value in FALSE:
        return "0"
    try:
        return str(int(value, 0))
    except ValueError:
        return value


def split_lines(content: bytes) -> list[str]:
    """Split into lines with their ends; joined and encoded as latin-1 they give the content."""
    return re.findall(r"[^\n]*\n|[^\n]+", content.decode("latin-1"))


def _stripped(line: str) -> str:
    return line.strip().removeprefix("\xef\xbb\xbf")  # what Windows puts before a text


def read_entries(
    name: str,
    lines: Sequence[str],
    include: Callable[[str], bytes | None],
    reach: Reach | None = None,
    depth: int = 0,
) -> tuple[list[Entry], Reach]:
    """Return what the firmware reads in these lines, and the reach of what would follow.

    `include` returns the content of another file, None if there is none.
    """
    reach = reach or Reach()
    entries = []
    for number, line in enumerate(lines, start=1):
        text = _stripped(line)
        if text.startswith("[") and text.endswith("]"):
            reach = reach.under(text)
        elif text.startswith("include ") and depth < 8 and not reach.never:
            file = text.removeprefix("include ").strip()
            content = include(file)
            if content is None:
                continue
            inside, after = read_entries(file, split_lines(content), include, reach, depth + 1)
            if reach.always:
                reach = after
            else:  # On the other boards the file is not read, so its [all] is not everybody's.
                outer = Reach(always=False, filter=reach.filter)
                inside = [_limit(entry, outer) for entry in inside]
                reach = reach if after == reach else outer
            entries += inside
        elif not text.startswith("#") and (found := re.fullmatch(r"([^\s=]+)=(\S.*|)", text)):
            entries.append(Entry(name, number, text, found[1], found[2], reach))
    return entries, reach


def _limit(entry: Entry, reach: Reach) -> Entry:
    limited = reach if entry.reach.always else entry.reach
    return Entry(entry.file, entry.number, entry.text, entry.key, entry.value, limited)


def _parameters(text: str) -> list[tuple[str, str]]:
    pairs = (word.partition("=") for word in text.split(",") if word)
    return [(name, value) for name, _, value in pairs]


def overlays(entries: Sequence[Entry]) -> Iterator[Overlay]:
    """Return the overlays that some board loads, with the dtparam lines that follow each."""
    current: Overlay | None = None
    for entry in entries:
        if entry.reach.never:
            continue
        if entry.key in {"dtoverlay", "device_tree_overlay"}:
            if current:
                yield current
            name, _, rest = entry.value.replace(":", ",", 1).partition(",")
            current = Overlay(entry, name, _parameters(rest)) if name else None
        elif entry.key in {"dtparam", "device_tree_param"} and current:
            current.parameters += _parameters(entry.value)
    if current:
        yield current


def assignments(entries: Sequence[Entry]) -> Iterator[tuple[Entry, str, str]]:
    """Return each setting that some board takes; of a dtparam line, each parameter."""
    for entry in entries:
        if entry.reach.never or entry.key in {"dtoverlay", "device_tree_overlay"}:
            continue
        if entry.key in {"dtparam", "device_tree_param"}:
            for name, value in _parameters(entry.value):
                yield entry, f"dtparam={name}", value
        else:
            yield entry, entry.key, entry.value


@dataclass(frozen=True)
class Wanted:
    """The line that is to count for every board."""

    line: str
    owner: str
    exclusive: bool = False
    remedy: str = ""

    @property
    def marker(self) -> str:
        """The comment above the module's own line."""
        return f"# House power monitor, role {self.owner}: set in the inventory, overwritten here."

    @property
    def entry(self) -> Entry:
        """The line as the firmware reads it."""
        entries, _ = read_entries("", [self.line], lambda _: None)
        if len(entries) != 1:
            raise BootFileError(f'"{self.line}" is not a line of config.txt like key=value.')
        return entries[0]

    @property
    def overlay(self) -> Overlay | None:
        """The overlay that the line loads, if it loads one."""
        return next(overlays([self.entry]), None)

    def is_own(self, text: str) -> bool:
        """Tell whether a line below the marker is the one that the module wrote there."""
        entries, _ = read_entries("", [text], lambda _: None)
        return [self._subject(entry) for entry in entries] == [self._subject(self.entry)]

    @staticmethod
    def _subject(entry: Entry) -> str:
        if entry.key in {"dtoverlay", "dtparam"}:
            return f"{entry.key}={re.split('[,:=]', entry.value)[0]}"
        return entry.key

    def pins(self) -> set[int]:
        """Return the pins that the line needs."""
        return self.overlay.pins() if self.overlay else _pins_of_setting(*self._setting())

    def _setting(self) -> tuple[str, str]:
        _, name, value = next(assignments([self.entry]))
        return name, value

    def counts(self, entries: Sequence[Entry]) -> bool:
        """Tell whether the line's effect is there on every board."""
        if self.overlay:
            wanted = self.overlay
            return any(it.entry.reach.always and it.has(wanted) for it in overlays(entries))
        wanted_name, wanted_value = self._setting()
        counts = False
        for entry, name, value in assignments(entries):
            if name == wanted_name:
                counts = same(value, wanted_value) and (counts or entry.reach.always)
        return counts

    def contradictions(self, entries: Sequence[Entry]) -> Iterator[str]:
        """Return what in the lines of others the line cannot live with, and how to mend it."""
        if self.overlay:
            yield from self._other_loads(entries, self.overlay)
        elif not self.counts(entries):
            wanted_name, wanted_value = self._setting()
            for entry, name, value in assignments(entries):
                if name == wanted_name and not same(value, wanted_value):
                    yield f'{entry}, the role {self.owner} needs "{self.line}": delete that line'
        yield from self._other_uses_of_pins(entries)

    def _other_loads(self, entries: Sequence[Entry], wanted: Overlay) -> Iterator[str]:
        for it in overlays(entries):
            if it.name != wanted.name or (it.entry.reach.always and it.has(wanted)):
                continue
            if it.has(wanted):
                yield (
                    f"{it.entry}, which counts for some boards only: delete that line, "
                    f"the role {self.owner} adds it for all"
                )
            elif self.exclusive:
                yield f'{it.entry}, the role {self.owner} needs "{self.line}": delete that line'

    def _other_uses_of_pins(self, entries: Sequence[Entry]) -> Iterator[str]:
        needed = self.pins()
        for entry, taken in _uses_of_pins(entries, self.overlay, self.entry):
            if clash := sorted(needed & taken):
                pins = " and ".join(str(pin) for pin in clash)
                yield (
                    f"{entry}, which uses GPIO {pins}; the role {self.owner} needs it "
                    f'for "{self.line}": delete that line'
                )


def _uses_of_pins(
    entries: Sequence[Entry], wanted: Overlay | None, line: Entry
) -> Iterator[tuple[Entry, set[int]]]:
    about_uart = wanted is None and line.key == "enable_uart"
    for it in overlays(entries):
        if wanted is not None and it.has(wanted):
            continue
        if about_uart and UART_OVERLAYS.fullmatch(it.name):
            continue
        yield it.entry, it.pins()
    for entry, name, value in assignments(entries):
        if name == "gpio":
            yield entry, _driven_pins(value)
        elif wanted is not None and not (
            wanted.name == "i2c-rtc" and name.startswith("dtparam=i2c")
        ):
            yield entry, _pins_of_setting(name, value)


def _pins_of_setting(name: str, value: str) -> set[int]:
    if _meaning(value) != "1":
        return set()
    if name == "enable_uart":
        return set(UART_PINS)
    return BUS_PINS.get(name.removeprefix("dtparam="), set())


def _driven_pins(value: str) -> set[int]:
    """Return the pins that a `gpio=` line takes; one that only makes them inputs takes none."""
    ranges, _, words = value.partition("=")
    if not {"op", "a0", "a1", "a2", "a3", "a4", "a5"} & set(words.split(",")):
        return set()
    pins: set[int] = set()
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            pins.update(range(int(first), int(last or first) + 1))
    return pins


def _own_lines(lines: Sequence[str], wanted: Wanted) -> list[int]:
    """Return where the module's own lines are: its markers, each with the line below it."""
    own = []
    for index, line in enumerate(lines):
        if _stripped(line) == wanted.marker:
            own.append(index)
            if index + 1 < len(lines) and wanted.is_own(lines[index + 1]):
                own.append(index + 1)
    return own


def edit(
    name: str,
    content: bytes,
    wanted: Wanted,
    include: Callable[[str], bytes | None],
    *,
    present: bool = True,
) -> tuple[bytes, bool]:
    """Return the new content, and whether it holds a line that this module has added."""

    def entries(lines: Sequence[str]) -> list[Entry]:
        return read_entries(name, lines, include)[0]

    lines = split_lines(content)
    own = _own_lines(lines, wanted)
    others = [line for index, line in enumerate(lines) if index not in own]
    if not present:
        return "".join(others).encode("latin-1"), False
    # Numbered as in the file, so that the message names a line that the reader can find.
    numbered = ["" if index in own else line for index, line in enumerate(lines)]
    if contradictions := list(wanted.contradictions(entries(numbered))):
        first, more = contradictions[0], len(contradictions) - 1
        remedy = f", or {wanted.remedy}" if wanted.remedy else ""
        raise BootFileError(f"{first}{remedy}." + (f" ({more} more like that.)" if more else ""))
    if wanted.counts(entries(numbered)):
        return content, bool(own)
    if len(own) == 2:
        at = own[1]
        replaced = [*lines[:at], wanted.line + _end(lines[at]), *lines[at + 1 :]]
        if wanted.counts(entries(replaced)):
            return "".join(replaced).encode("latin-1"), True
    ends = [_end(line) for line in others if line.endswith("\n")]
    end = ends[-1] if ends else "\n"
    if others and not others[-1].endswith("\n"):
        others[-1] += end
    _, reach = read_entries(name, others, include)
    added = [wanted.marker, wanted.line] if reach.always else ["[all]", wanted.marker, wanted.line]
    result = others + [line + end for line in added]
    if not wanted.counts(entries(result)):
        raise BootFileError(
            f'{name}: "{wanted.line}" has no effect even at the end of the file, '
            "which this program does not understand: add the line by hand."
        )
    return "".join(result).encode("latin-1"), True


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def run(params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Do what the parameters ask for and return the module's result."""
    wanted = Wanted(params["line"], params["owner"], params["exclusive"], params["remedy"])
    if max(len(wanted.line), len(wanted.marker)) > LONGEST_LINE:
        raise BootFileError(f'"{wanted.line}" is too long: {LONGEST_LINE} characters are read.')
    path = Path(params["path"])
    if params["state"] == "absent" and not path.exists():
        return {"changed": False, "added": False}
    file = BootFile.read(path)

    def include(name: str) -> bytes | None:
        content: bytes | None = BootFile.read(file.path.parent / name).content
        return content

    before = file.content or b""
    after, added = edit(
        str(file.path), before, wanted, include, present=params["state"] == "present"
    )
    leftovers = not check_mode and file.remove_leftovers()
    if after != before and not check_mode:
        # A file that was written by this module alone has nothing before it to keep.
        file.replace(after, keep_copy=b"# House power monitor, role " not in before)
    return {
        "changed": after != before or leftovers,
        "added": added,
        "diff": {
            "before_header": str(file.path),
            "after_header": str(file.path),
            "before": before.decode("utf-8", "replace"),
            "after": after.decode("utf-8", "replace"),
        },
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "line": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "exclusive": {"type": "bool", "default": False},
            "remedy": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, check_mode=module.check_mode))
    except BootFileError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
