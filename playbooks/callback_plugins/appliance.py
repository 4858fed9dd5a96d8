"""What a run prints: one line for each part of the appliance, and one for what went wrong."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.handler import Handler
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: appliance
type: stdout
short_description: one line for each part of the appliance
description:
  - Prints a line for each role, and one line that tells what went wrong.
  - Everything else goes to the log, if there is one (C(ANSIBLE_LOG_PATH)).
extends_documentation_fragment:
  - result_format_callback
"""

SAID_IN_FULL: Final = ("assert", "fail")
"""Actions whose message was written for people: it needs no name of a task before it."""
NOISE: Final = re.compile(r"^((Task|Action|Module) failed|Module result deserialization failed): ")
TOLD_BY_A_ROLE: Final = ("Failed to update cache after",)
"""How warnings of modules begin that a role puts into plainer words."""
REMEDIES: Final[Mapping[str, str]] = {
    "No space left on device": (
        "the card is full: make room on the Pi (df -h tells, sudo apt clean helps), "
        "then run the same command again"
    ),
    "Read-only file system": (
        "the card does not let itself be written any more: restart the Pi, and replace the card "
        "if that does not help"
    ),
    **dict.fromkeys(
        (
            "Could not resolve",
            "Name or service not known",
            "Network is unreachable",
            "Temporary failure in name resolution",
            "Temporary failure resolving",
        ),
        "is the internet reachable from the Pi? Then run the same command again",
    ),
}


class CallbackModule(CallbackBase):  # type: ignore[misc] # Ansible ships no types
    """Prints lines for people."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "appliance"

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()
        self._step: str | None = None
        self._step_started = 0.0
        self._told: set[str] = set()
        self._changed = 0
        self._changed_in_step = 0
        self._check = False
        self._failed = False
        self._live = sys.stdout.isatty()
        self._titles: dict[str, str] = {}

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Remember which play runs."""
        self._play = play
        self._check = play.check_mode

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Show what is going on."""
        del is_conditional
        self._task_starts(task)

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Show what is going on."""
        self._task_starts(task)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Count, and print what a playbook tells people."""
        self._notes(result.result)
        if result.task.action.endswith("debug") and "results" not in result.result:
            self._say(result.result.get("msg"))
        if result.result.get("changed"):
            self._changed += 1
            self._changed_in_step += 1
            self._to_log(f"changed: {self._dump_results(result.result)}")

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Print what a playbook tells people."""
        if result.task.action.endswith("debug"):
            self._say(result.result.get("msg"))

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Print why it failed, unless that was expected."""
        self._to_log(f"failed: {self._dump_results(result.result)}")
        if not ignore_errors and not _is_rescued(result.task):
            self._notes(result.result)
            self._fail(result.host.get_name(), reason(result.task, result.result, cause(result)))

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Print that the Pi has gone."""
        self._to_log(f"unreachable: {self._dump_results(result.result)}")
        if not result.task.ignore_unreachable:
            why = one_line(result.result.get("msg", ""))
            ask = "does it still take the key?" if "denied" in why else "is it still switched on?"
            what = f"it cannot be reached any more ({why}); {ask}"
            self._fail(result.host.get_name(), f"{what} Then run the same command again")

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Print that there is nothing to do."""
        self._fail("inventory", "no machine matches; write it in inventory/hosts.yml")

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Print how long it took and how much was changed."""
        self._end_step()
        took = duration(time.monotonic() - self._started)
        how = "Stopped after" if stats.failures or stats.dark else "Done in"
        self._print(f"\n{how} {took}; {self._count(self._changed)}.")

    def _task_starts(self, task: Task) -> None:
        step = self._title(task)
        if self._failed:  # what still runs clears up
            self._to_log(f"{step}: {task.get_name()}")
            return
        if step != self._step:
            self._end_step()
            self._step, self._step_started = step, time.monotonic()
            self._changed_in_step = 0
        self._to_log(f"{step}: {task.get_name()}")
        if self._live:
            name = task.get_name().rpartition(" : ")[2]
            self._transient(f"{self._clock()}  {step}: {name}")

    def _title(self, task: Task) -> str:
        if isinstance(task, Handler):
            return "Restart what has changed"
        if task._role is None:
            return str(self._play.get_name())
        path = str(task._role._role_path)
        if path not in self._titles:
            self._titles[path] = _short_description(Path(path)) or Path(path).name
        return self._titles[path]

    def _clock(self) -> str:
        minutes, seconds = divmod(int(self._step_started - self._started), 60)
        return f"{minutes:4d}:{seconds:02d}"

    def _count(self, number: int) -> str:
        if number == 0:
            return "nothing would change" if self._check else "nothing had to be changed"
        return f"{number} would change" if self._check else f"{number} changed"

    def _end_step(self) -> None:
        if self._step is None:
            return
        changed = f"  ({self._count(self._changed_in_step)})" if self._changed_in_step else ""
        if changed or self._step not in self._told:
            self._print(f"{self._clock()}  {self._step}{changed}")
        self._told.add(self._step)
        self._step = None

    def _notes(self, result: Mapping[str, Any]) -> None:
        for warning in result.get("warnings") or ():
            # Those of check mode are mostly about what is not there because nothing was changed.
            if self._check or str(warning).startswith(TOLD_BY_A_ROLE):
                self._to_log(f"warning: {warning}")
            else:
                self._print(f"         note: {one_line(str(warning))}")

    def _say(self, message: object) -> None:
        """Print what a playbook tells people. It is not logged: it may hold a password."""
        if isinstance(message, list):
            self._end_step()
            for line in message:
                self._print(str(line), log=False)
        elif message:
            self._print(f"         {one_line(str(message))}", log=False)

    def _fail(self, host: str, what: str) -> None:
        step, self._step, self._failed = self._step, None, True
        if step is not None:
            self._print(f"{self._clock()}  {step}  FAILED")
        self._print(f"\n{host}: {what}", color="red")

    def _print(self, text: str, *, color: str | None = None, log: bool = True) -> None:
        self._transient("")
        self._display.display(text, color=color, screen_only=not log)

    def _transient(self, text: str) -> None:
        if self._live:
            sys.stdout.write(f"\r\033[K{text[:78]}")
            sys.stdout.flush()

    def _to_log(self, text: str) -> None:
        self._display.display(text, log_only=True)


def cause(result: CallbackTaskResult) -> str:
    """Return the innermost error that Ansible knows of, such as the system's own word."""
    event = getattr(getattr(result, "exception", None), "event", None)
    while (inner := getattr(getattr(event, "chain", None), "event", None)) is not None:
        event = inner
    return str(getattr(event, "msg", ""))


def reason(task: Task, result: Mapping[str, Any], cause: str = "") -> str:
    """Return why a task failed, on one line, with what mends it where that is known."""
    if items := result.get("results"):
        # Which items have failed is told by `failed` before ansible-core 2.21 only.
        marks = ("failed", "exception", "rc")
        result = next((item for item in items if any(map(item.get, marks))), result)
    message = str(result.get("msg") or "")
    if errors := result.get("argument_errors"):
        message = "; ".join(map(str, errors))
    elif "non-zero return code" in message or not message:
        said = str(result.get("stderr") or result.get("stdout") or "").strip()
        message = said.splitlines()[-1] if said else f"failed silently, code {result.get('rc')}"
    elif last := str(result.get("stderr") or "").strip().rpartition("\n")[2]:
        message = message if last in message else f"{message.rstrip('.')}: {last}"
    message = one_line(message)
    if cause.rstrip(".") not in message:
        message = f"{message.rstrip('.')}: {one_line(cause)}"
    everything = " ".join([message, *(str(result.get(key, "")) for key in ("msg", "stderr"))])
    for words, remedy in REMEDIES.items():
        if words in everything:
            message = f"{message.rstrip('.')}; {remedy}"
            break
    if task.action.rpartition(".")[2] in SAID_IN_FULL:
        return message
    return f"{task.get_name().rpartition(' : ')[2]}: {message}"


def one_line(text: str) -> str:
    """Return a message without line breaks and without Ansible's words about itself."""
    text = " ".join(text.split())
    while NOISE.match(text):
        text = NOISE.sub("", text)
    return text if len(text) <= 600 else f"{text[:599]}…"


def duration(seconds: float) -> str:
    """Return a duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _blocks(task: Task) -> Iterator[Any]:
    inner, block = task, task._parent
    while block is not None:
        yield inner, block
        inner, block = block, getattr(block, "_parent", None)


def _is_rescued(task: Task) -> bool:
    for inner, block in _blocks(task):
        rescue = getattr(block, "rescue", None)
        if rescue and not any(inner is other or inner._uuid == other._uuid for other in rescue):
            return True
    return False


def _short_description(role: Path) -> str | None:
    try:
        specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
        return str(specs["argument_specs"]["main"]["short_description"])
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return None
