"""One PZEM-016 on one line, spoken to through minimalmodbus.

A read has three outcomes, never confused: a `Reading`, `Silent` (nothing answered),
`Faulty` (something answered that cannot be true, and why).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import minimalmodbus

from pzem import frames
from pzem.errors import PzemError
from pzem.line import DRAIN_S, QUIET_S, TRY_S, Line
from pzem.registers import (
    FIRST_REGISTER,
    HOLDING_ADDRESS,
    HOLDING_ALARM_THRESHOLD,
    REGISTER_COUNT,
    OverRangeError,
    Reading,
    decode,
)

NO_ANSWER: Final = "no_answer"
"""Asked on an adapter that is known to work: see `Silent.proves_darkness`."""
NO_ANSWER_YET: Final = "no_answer_yet"
"""Asked, but the adapter itself may be stuck."""
NOT_FOUND: Final = "not_found"
"""Never heard so far, although every port was asked for it."""
HAS_POWER: Final = "has_power"
"""Does not answer, although what feeds it feeds the Pi too: see `pzem.house.pi_feed`."""
LINE_IN_DOUBT: Final = "line_in_doubt"
"""Does not answer, nor does one with power on its adapter, nor any other there."""
NOT_ASKED: Final = "not_asked"
NO_PORT: Final = "no_port"
PORT_BUSY: Final = "port_busy"
PORT_FAILED: Final = "port_failed"

IMPLAUSIBLE: Final = "implausible"
"""First word of the reason of a fault: more watts than volt-amperes."""

TWO_ANSWERS: Final = "two_answers"
"""Reason of a fault: two whole replies with different values, of two meters."""

MODBUS_ERRORS: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal data",
    4: "slave error",
}
"""Error codes of the manual, as they follow `function | 0x80` in a reply."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing was heard. `reason` tells a quiet meter from one that could not be asked."""

    reason: str = NO_ANSWER

    @property
    def proves_darkness(self) -> bool:
        """Whether the silence is the meter's own, as of one without supply.

        So it is if the adapter at which it was heard before is there and took the
        question, and either another meter was heard there in the same cycle, or the
        adapter was opened anew since the last word from there and still brought none.
        What is left is an adapter or a cable that is broken for good: from here that
        looks like a dark meter. Whoever concludes from silence asks several, and
        `pzem.house.pi_feed` knows of some that they cannot be dark.
        """
        return self.reason == NO_ANSWER

    @property
    def is_quiet(self) -> bool:
        """Whether the meter was asked at its own port: it may be dark, proved or not."""
        return self.reason in (NO_ANSWER, NO_ANSWER_YET)


@dataclass(frozen=True, slots=True)
class Faulty:
    """Something answered that cannot be true; `reason` is a word, then its details.

    `well_formed`: address, function, length and CRC agreed, so the meter is there.
    """

    reason: str
    well_formed: bool = False


Outcome = Reading | Silent | Faulty

MIN_TRY_S: Final = 0.1
"""With less time left a try would be cut before a healthy meter's answer is in."""
SECOND_TRY_S: Final = 0.2
"""Ends before a late answer to the second try of an earlier cycle can come in: that was
asked `TRY_S` and `DRAIN_S` after the first."""
REFRESH_S: Final = 1.0
"""A meter refreshes its registers about once a second (peers' measurements)."""
SET_BACK_WH: Final = 10.0
"""A counter that was just set back shows no more: full scale, 23 kW, is 6.4 Wh a second."""


class MeterError(PzemError):
    """A meter did not do what it was told."""


def heard(outcome: Outcome) -> bool:
    """Tell whether a meter, rather than noise, was heard."""
    return isinstance(outcome, Reading) or (isinstance(outcome, Faulty) and outcome.well_formed)


def drained(line: Line, deadline: float, pause_s: float = DRAIN_S) -> bool:
    """Drain `line` if that leaves time for a try before `deadline`; return whether.

    Drains for `pause_s`, or for `DRAIN_S` where that would be too long.
    """
    left_s = deadline - time.monotonic() - MIN_TRY_S
    if left_s < DRAIN_S:
        return False
    line.drain(pause_s if left_s >= pause_s else DRAIN_S)
    return True


def _is_implausible(outcome: Outcome) -> bool:
    return isinstance(outcome, Faulty) and outcome.reason.startswith(IMPLAUSIBLE)


class Meter:
    """The meter with `address` (1 to 247, or 248 for whichever is alone) on `line`."""

    def __init__(self, line: Line, address: int) -> None:
        self.address = address
        self._line = line
        self._instrument = minimalmodbus.Instrument(line, address)

    def read(self, timeout_s: float = TRY_S) -> Outcome:
        """Ask once for the measurement table, waiting `timeout_s` at most.

        Raises `OSError` or `termios.error` if the port is gone.
        """
        self._line.reply_timeout_s = timeout_s
        try:
            words = self._instrument.read_registers(
                FIRST_REGISTER, REGISTER_COUNT, functioncode=frames.READ_INPUT
            )
        except minimalmodbus.NoResponseError:
            return Silent()
        except minimalmodbus.ModbusException:
            if self._line.has_reply:  # and then it is an error reply
                return Faulty(f"modbus_error {self._line.last_reply[2]}", well_formed=True)
            return Faulty(self._line.complaint())
        try:
            reading = decode(words)
        except OverRangeError as error:
            return Faulty(str(error), well_formed=True)
        if not reading.is_plausible:
            reason = f"{IMPLAUSIBLE} {reading.watts} W {reading.volt_amps} VA"
            return Faulty(reason, well_formed=True)
        return reading

    def is_alone(self) -> bool:
        """Tell whether one meter, and not several with its address, answers a question."""
        return heard(self.read()) and not self._line.is_answered_again()

    def ask(self, tries: int, deadline: float) -> Outcome:
        """Read by `deadline` (monotonic seconds), asking up to `tries` times.

        If a question of an earlier time went unanswered, the first answer now may be a
        late one to that, with the values of then. It is read away with whatever else is
        under way, and the answer to a second question counts.

        An implausible answer may be of two different seconds, and is asked for once more
        when the meter has refreshed its registers.

        Where two meters have the address, chance tells whose answer comes first, so a
        reading counts only if no other one follows it.

        Raises `OSError` or `termios.error` if the port is gone.
        """
        outcome: Outcome = Silent()
        owing = self._line.owes(self.address)
        pause_s = DRAIN_S
        tried = 0
        while tried < tries:
            if tried and not drained(self._line, deadline, pause_s):
                break
            tried += 1
            answer = self._read_by(deadline)
            if heard(answer) and owing:
                answer = self._second_answer(deadline)
            if not isinstance(answer, Silent):
                outcome = answer
            if _is_implausible(answer) and pause_s < REFRESH_S:
                pause_s = REFRESH_S
                tries = tried + 1
                owing = self._line.owes(self.address)
            elif heard(answer):
                break
        listen_s = min(QUIET_S, deadline - time.monotonic())
        if isinstance(outcome, Reading) and self._line.is_contradicted(listen_s):
            return Faulty(TWO_ANSWERS, well_formed=True)
        return outcome

    def _second_answer(self, deadline: float) -> Outcome:
        """Ask anew a meter whose first answer may be a late one.

        If that brings nothing, the second question itself may be answered late, in the
        next cycle and at the same moment as the second question there. So none is asked
        then, and a meter that is always late never passes for a prompt one, unless it is
        late by two whole intervals.
        """
        if self._line.forget_doubt(self.address) or not drained(self._line, deadline):
            return Silent()
        answer = self._read_by(deadline, SECOND_TRY_S)
        if heard(answer):
            self._line.forgive(self.address)
        else:
            self._line.doubt(self.address)
        return answer

    def _read_by(self, deadline: float, most_s: float = TRY_S) -> Outcome:
        left_s = deadline - time.monotonic()
        return self.read(min(most_s, left_s)) if left_s >= MIN_TRY_S else Silent()

    def alarm_threshold_w(self) -> int:
        """Return the power in W above which the meter raises its alarm.

        Raises `MeterError` without a proper answer, `OSError` or `termios.error`
        without a port.
        """
        return self._read_holding(HOLDING_ALARM_THRESHOLD)

    def set_alarm_threshold_w(self, watts: int) -> None:
        """Set the alarm threshold and read it back. Raises as `alarm_threshold_w`."""
        self._write_holding(HOLDING_ALARM_THRESHOLD, watts)
        if (kept := self.alarm_threshold_w()) != watts:
            raise MeterError(f"the meter keeps {kept} W instead of {watts} W; try again")

    def set_address(self, address: int) -> None:
        """Give the meter another address; from then on it answers to that one only.

        The caller has made sure that it is alone and reads it at its new address
        afterwards. Raises as `alarm_threshold_w`.
        """
        self._write_holding(HOLDING_ADDRESS, address)

    def reset_energy(self, timeout_s: float = TRY_S) -> None:
        """Set the meter's energy counter to zero. Raises as `alarm_threshold_w`.

        The caller reads the counter afterwards: an adapter with local echo answers
        a reset all by itself.
        """
        # minimalmodbus has no public way to send a function code of a vendor.
        request = frames.with_crc(bytes([self.address, frames.RESET_ENERGY]))
        self._line.drain(frames.SILENT_GAP_S)
        reply = self._line.exchange(request, timeout_s)
        if reply != request:
            raise MeterError(self._why("reset its energy", reply))

    def reset_energy_by(self, deadline: float) -> None:
        """Set the energy counter to zero and see it there by `deadline` (monotonic seconds).

        A late answer to an earlier question shows the old count and so confirms nothing.
        Raises `MeterError` if it was not seen: it may have happened all the same, as the
        next reading tells. Raises `OSError` or `termios.error` if the port is gone.
        """
        if deadline - time.monotonic() < 2 * MIN_TRY_S + DRAIN_S:
            raise MeterError("there is no time for it in this cycle")
        why = "the counter could not be read back"
        try:
            self.reset_energy(min(TRY_S, deadline - time.monotonic() - DRAIN_S - MIN_TRY_S))
        except MeterError as error:  # its answer may be lost, and only that
            why = str(error)
        while drained(self._line, deadline):
            answer = self._read_by(deadline)
            if isinstance(answer, Reading):
                if answer.energy_wh <= SET_BACK_WH:
                    return
                why = f"the counter still shows {answer.energy_wh:.0f} Wh"
        raise MeterError(why)

    def _read_holding(self, register: int) -> int:
        self._line.reply_timeout_s = TRY_S
        try:
            return int(self._instrument.read_register(register, functioncode=frames.READ_HOLDING))
        except minimalmodbus.ModbusException as error:
            raise MeterError(self._why("tell its settings", self._line.last_reply)) from error

    def _write_holding(self, register: int, value: int) -> None:
        self._line.reply_timeout_s = TRY_S
        try:
            self._instrument.write_register(register, value, functioncode=frames.WRITE_SINGLE)
        except minimalmodbus.ModbusException as error:
            raise MeterError(self._why("take its new setting", self._line.last_reply)) from error
        self._line.drain(frames.SILENT_GAP_S)

    def _why(self, task: str, reply: bytes) -> str:
        if not reply:
            what = "no answer"
        elif len(reply) == frames.ERROR_LENGTH and reply[1] & frames.ERROR_FLAG:
            what = MODBUS_ERRORS.get(reply[2], f"Modbus error {reply[2]}")
        else:
            what = f"garbled answer ({self._line.complaint()})"
        return f"the meter at address {self.address} did not {task}: {what}"
