"""A simulated USB-RS485 adapter with meters on its line: a pty paced at 9600 baud.

    host writes ──8 characters──┤3.5 silent├──turn-around──┤first..last byte of the reply
                                           └ the meters read their registers here

What this stand-in cannot show: parity and framing errors, a request and a reply that
collide on the half-duplex bus, and `TIOCEXCL` (see `_Pty`). Real adapters also hold bytes
back for up to 16 ms (FTDI's latency timer); here they arrive in time.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pzem.frames import CHARACTER_S, SILENT_GAP_S
from pzem.testing.meter import Reply, SimulatedMeter

TURN_AROUND_S: Final = 0.028
"""From the end of a request to the reply of a real meter, as derived from peers' figures."""
CHUNK: Final = 5
"""Characters written at a time, each chunk when its last character is over: saves CPU."""
IDLE_S: Final = 0.2
"""The line is looked after this often even if nothing happens (`_Pty.forget_exclusive`)."""
LONGEST_FRAME: Final = 256
"""Modbus over serial line, 2.5.1."""
PTS: Final = Path("/dev/pts")
TIOCGEXCL: Final = 0x80045440
"""Asks for what TIOCEXCL has set (ioctl_tty(2)); the module termios lacks it."""

OnSent = Callable[[Path, Reply, bytes], None]
"""Told of each reply as its last bytes go out: link, reply, bytes on the wire."""


class LinkError(Exception):
    """The link to a simulated port cannot be made; says why and what would help."""


def collision(replies: Sequence[bytes]) -> bytes:
    """Return what is left on the wire if several meters answer at once.

    A driven 0 wins. Their clocks differ, so each is a character behind the one before it:
    not even equal replies come through.
    """
    length = max(start + len(reply) for start, reply in enumerate(replies))
    wire = bytearray(b"\xff" * length)
    for start, reply in enumerate(replies):
        for position, byte in enumerate(reply, start):
            wire[position] &= byte
    return bytes(wire)


class _Pty:
    """A pty in raw mode at 9600 baud, with a pipe to wake up whoever waits for it.

    The slave stays open here as long as the port is plugged, or reading the master would
    fail with EIO whenever no client has the port open.

    With a `group` it belongs to that group, with mode 0660, as udev has it with real
    ports; raises `OSError` if that cannot be.
    """

    def __init__(self, group: int | None) -> None:
        self.master, self.slave = os.openpty()
        self._wake_read, self._wake_write = os.pipe()
        self.path = os.ttyname(self.slave)
        os.set_blocking(self.master, False)
        tty.setraw(self.slave)
        settings = termios.tcgetattr(self.slave)
        settings[4] = settings[5] = termios.B9600
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)
        if group is not None:
            try:
                os.fchown(self.slave, -1, group)
                os.fchmod(self.slave, 0o660)
            except OSError:
                self.close()
                raise

    def wait(self, seconds: float) -> bool:
        """Sleep until bytes have come, `wake` is called or `seconds` are over."""
        ready, _, _ = select.select([self.master, self._wake_read], [], [], max(0.0, seconds))
        return self.master in ready

    def wake(self) -> None:
        os.write(self._wake_write, b"\0")

    def read(self) -> bytes:
        return os.read(self.master, LONGEST_FRAME)

    def write(self, data: bytes) -> None:
        """Send `data`; what a client leaves unread beyond the buffer's size is lost."""
        with suppress(BlockingIOError):
            os.write(self.master, data)

    def at_9600_baud(self) -> bool:
        """Whether the client has set the speed the meters understand."""
        speed: int = termios.tcgetattr(self.slave)[4]
        return speed == termios.B9600

    def forget_exclusive(self) -> bool:
        """Undo a client's TIOCEXCL; tell whether there was one, set since the last time.

        On a real port it ends when the client closes it. Here it would last, since the
        slave stays open, and lock an unprivileged client out for ever.
        """
        was_set = any(fcntl.ioctl(self.slave, TIOCGEXCL, bytes(4)))
        fcntl.ioctl(self.slave, termios.TIOCNXCL)
        return was_set

    def stop_output(self) -> None:
        """Take no more bytes of the client: its writing blocks."""
        termios.tcflow(self.slave, termios.TCOOFF)

    def let_output_go(self) -> None:
        """Take the client's bytes again."""
        termios.tcflow(self.slave, termios.TCOON)

    def close(self) -> None:
        """Hang up on the client."""
        for descriptor in (self.slave, self.master, self._wake_read, self._wake_write):
            os.close(descriptor)


def _unheard(link: Path, reply: Reply, wire: bytes) -> None:
    """Nobody wants to know what was sent."""


@dataclass(frozen=True, slots=True, order=True)
class _Chunk:
    """Some bytes to write at `due`; the last chunk of a frame `completes` its replies."""

    due: float
    data: bytes = field(compare=False)
    completes: tuple[Reply, ...] = field(compare=False)
    wire: bytes = field(compare=False)


class SimulatedLine:
    """One adapter, with all its meters hearing every request, reachable at `link`.

    `plug` makes the port appear, `unplug` makes it vanish under the hands of its client;
    as a context manager it is plugged at the start and unplugged at the end. Members of
    the `group` with that id may use the port; without one, whoever plays it.
    """

    def __init__(
        self,
        link: Path,
        meters: Sequence[SimulatedMeter],
        *,
        turn_around_s: float = TURN_AROUND_S,
        group: int | None = None,
    ) -> None:
        self.link = link
        self.meters = list(meters)
        self._turn_around_s = turn_around_s
        self._group = group
        self.on_sent: OnSent = _unheard
        self._pty: _Pty | None = None
        self._thread: threading.Thread | None = None
        self._hung = False
        self._stuck = False

    def __enter__(self) -> SimulatedLine:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    @property
    def plugged(self) -> bool:
        """Whether there is a port at present."""
        return self._pty is not None

    def hang(self) -> None:
        """Take no byte any more and deliver none, without an error, until `release`."""
        self._hung = True
        if self._pty is not None:
            self._pty.stop_output()

    def stick(self) -> None:
        """Take bytes and deliver none until a client has opened the port anew.

        A client is seen to do so by its TIOCEXCL.
        """
        if self._pty is not None:
            self._pty.forget_exclusive()
        self._stuck = True

    def release(self) -> None:
        """End `hang` and `stick`. What was on its way meanwhile is lost."""
        self._hung = self._stuck = False
        if self._pty is not None:
            self._pty.let_output_go()

    def plug(self, link: Path | None = None) -> None:
        """Appear as a new pty under `link`, or under the last one. No effect if plugged.

        Raises `LinkError` if link or port cannot be made; what is there is left alone unless
        it is a symbolic link to a pty or to nothing, as a killed simulator leaves it.
        """
        if self._pty is not None:
            return
        try:
            pty = _Pty(self._group)
        except OSError as error:
            raise LinkError(f"cannot make {link or self.link}: {error.strerror}") from error
        try:
            _make_link(link or self.link, pty.path)
        except LinkError:
            pty.close()
            raise
        self.link = link or self.link
        self._hung = self._stuck = False
        self._pty = pty
        self._thread = threading.Thread(target=self._serve, args=(pty,), name=str(self.link))
        self._thread.daemon = True
        self._thread.start()

    def unplug(self) -> None:
        """Vanish: the link is removed and the client's handle is dead. No effect twice."""
        if self._pty is None or self._thread is None:
            return
        with suppress(OSError):
            if self.link.readlink() == Path(self._pty.path):
                self.link.unlink()
        pty, self._pty = self._pty, None
        pty.wake()
        self._thread.join()
        pty.close()

    def _serve(self, pty: _Pty) -> None:
        request = bytearray()
        complete = 0.0  # when 3.5 characters of silence will have followed the request
        chunks: list[_Chunk] = []
        while self._pty is pty:
            now = time.monotonic()
            if request and now >= complete:
                if pty.at_9600_baud():
                    for chunk in self._answers(bytes(request), complete):
                        heapq.heappush(chunks, chunk)
                request.clear()
            while chunks and chunks[0].due <= now:
                self._send(pty, heapq.heappop(chunks))
            wake = min([now + IDLE_S, *[complete] * bool(request), *(c.due for c in chunks[:1])])
            if pty.wait(wake - time.monotonic()):
                heard = pty.read()
                arriving = max(time.monotonic(), complete - SILENT_GAP_S)
                complete = arriving + len(heard) * CHARACTER_S + SILENT_GAP_S
                request += heard[: LONGEST_FRAME - len(request)]
            if pty.forget_exclusive():
                self._stuck = False
            if self._hung or self._stuck:
                request.clear()
                chunks.clear()

    def _answers(self, request: bytes, complete: float) -> Iterator[_Chunk]:
        """Let all meters hear `request`; yield what they send, cut into timed chunks."""
        replies = [reply for meter in self.meters if (reply := meter.respond(request))]
        replies = [reply for reply in replies if reply.sent]
        prompt = [reply for reply in replies if not reply.delay_s]
        for together in [prompt, *([reply] for reply in replies if reply.delay_s)]:
            if not together:
                continue
            wire = collision([reply.sent for reply in together])
            start = complete + self._turn_around_s + together[0].delay_s
            for end in range(CHUNK, len(wire) + CHUNK, CHUNK):
                over = min(end, len(wire))
                done = tuple(together) if over == len(wire) else ()
                yield _Chunk(start + over * CHARACTER_S, wire[end - CHUNK : over], done, wire)

    def _send(self, pty: _Pty, chunk: _Chunk) -> None:
        for reply in chunk.completes:  # told first: who has read a reply finds it recorded
            self.on_sent(self.link, reply, chunk.wire)
        pty.write(chunk.data)


def _make_link(link: Path, target: str) -> None:
    try:
        if link.is_symlink() and (not link.exists() or PTS in link.resolve().parents):
            link.unlink()
        link.symlink_to(target)
    except FileExistsError:
        raise LinkError(f"{link} exists and is no simulated port: remove it first") from None
    except OSError as error:
        raise LinkError(f"cannot make {link}: {error.strerror}") from error
