"""One RS-485 line behind a tty: opened exclusively, and read frame by frame."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import serial

from pzem import frames
from pzem.errors import PzemError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

TRY_S: Final = 0.3
"""How long a meter gets to answer. A read takes 62 to 66 ms on the wire, up to
130 ms with slow adapters (measured; see the timing table of the protocol)."""
WRITE_S: Final = 0.1
"""An adapter that does not take a request of 8 bytes (8 ms) at once is stuck."""
DRAIN_S: Final = 0.1
"""Silence to wait for before asking again, so that a late reply is not taken for
the answer to the next question."""
QUIET_S: Final = 0.05
"""A line that has delivered a frame's worth of bytes and then paused this long has
finished talking: 3.5 characters (4 ms), blurred by an adapter's latency timer (16 ms)
and by the scheduling of a busy Pi."""

BRLTTY: Final = (Path("/usr/bin/brltty"), Path("/usr/sbin/brltty"), Path("/bin/brltty"))
"""Drives braille displays, and takes for one what has the USB number of their adapters."""

IO_ERRORS: Final = (OSError, termios.error)
"""What a vanished adapter raises: `serial.SerialException` is an OSError, but
`termios.error` is not."""


class PortError(PzemError):
    """A port cannot be used."""


class PortBusyError(PortError):
    """Another process holds the port."""

    hint = "if it is the collector: sudo systemctl stop pzem"


class Line(serial.Serial):
    """A serial port that hands its reader whole Modbus replies.

    `minimalmodbus` takes it as its serial object. Its `read` differs from the one of
    `serial.Serial`: it waits for a reply to what was last written and returns that
    reply alone, whatever an adapter puts around it; failing that, whatever came.

    Raises `PortError` from the constructor, `OSError` or `termios.error` later.
    """

    def __init__(self, path: str) -> None:
        super().__init__(baudrate=frames.BAUD, timeout=TRY_S, write_timeout=WRITE_S, exclusive=True)
        self.reply_timeout_s = TRY_S
        self.last_reply = b""
        """What the last `read` returned."""
        self.has_reply = False
        """Whether that is a reply to the request, with everything in its place."""
        self.is_robbed = False
        """Whether bytes were seen to have come and were gone: somebody else reads them."""
        self._surplus = b""
        """What had come behind that reply when it was found."""
        self._request = b""
        self._written_s = 0.0
        self._owing: set[int] = set()
        self._doubted: set[int] = set()
        self._path = path
        self.port = path
        self.reopen()

    def reopen(self) -> None:
        """Take hold of the port anew, as a stuck adapter wants it; raises `PortError`.

        What meters still owe is not forgotten: late replies outlive the handle.
        """
        self.close()
        try:
            self.open()
            # flock keeps out those who ask for it, TIOCEXCL all others but root.
            fcntl.ioctl(self.fileno(), termios.TIOCEXCL)
        except IO_ERRORS as error:
            self.close()
            raise _port_error(self._path, error) from error

    def close(self) -> None:
        """Let go of the port; never raises, for the adapter may be gone already."""
        if self.is_open:
            with contextlib.suppress(*IO_ERRORS):
                fcntl.ioctl(self.fileno(), termios.TIOCNXCL)
            with contextlib.suppress(*IO_ERRORS):
                # Some drivers wait up to 30 s for what an adapter does not take any more.
                termios.tcflush(self.fileno(), termios.TCOFLUSH)
        with contextlib.suppress(*IO_ERRORS):
            super().close()

    def is_hung_up(self) -> bool:
        """Tell whether the adapter has gone, though another may have its name by now."""
        poll = select.poll()
        poll.register(self.fileno(), 0)
        return bool(poll.poll(0))

    def write(self, request: ReadableBuffer, /) -> int | None:
        """Send `request` and remember it: `read` returns the reply to it."""
        self._request = bytes(memoryview(request))
        self._written_s = time.monotonic()
        return super().write(request)

    def read(self, size: int = 1, /) -> bytes:  # noqa: ARG002 - what pyserial asks for
        """Return the reply to the last request, what came instead of it, or nothing.

        What comes sooner than a reply can come over the wire is none: it was under way
        before, as the second copy of a reply, or is a local echo.

        Gives up after `reply_timeout_s` seconds. `size` is ignored: the length of a
        reply follows from its request.
        """
        request = self._request
        enough = frames.reply_length(request)
        deadline = time.monotonic() + self.reply_timeout_s
        received = b""
        while True:
            reply = frames.find_reply(received, request)
            if reply is not None and self._is_too_soon(reply):
                received = received.partition(reply)[2]
            elif reply is not None:
                self.last_reply = reply
                self.has_reply = True
                self._surplus = received.partition(reply)[2]
                return reply
            wait_s = deadline - time.monotonic()
            came = self._without_echo(received)
            if len(came) >= enough:
                wait_s = min(wait_s, QUIET_S)
            if wait_s <= 0 or not self._readable(wait_s):
                break
            received += self._receive()
        came = self._without_late_replies(came)
        self.last_reply = came
        self.has_reply = False
        self._surplus = b""
        if len(came) < frames.ERROR_LENGTH or frames.is_of_another(came, request):
            self._owing.add(request[0])  # not even garbled: the reply may be under way
        return came

    def is_answered_again(self, within_s: float = TRY_S) -> bool:
        """Tell whether a second reply to the last request came, or comes `within_s`."""
        return self._next_reply(within_s) is not None

    def is_contradicted(self, within_s: float = QUIET_S) -> bool:
        """Tell whether a reply with other values follows the last one `within_s`.

        A copy of the last one does not count: an adapter may hand it on twice.
        """
        return self._next_reply(within_s) not in (None, self.last_reply)

    def exchange(self, request: bytes, timeout_s: float = TRY_S) -> bytes:
        """Send a raw `request` with its CRC and return what `read` makes of the answer."""
        self.reset_input_buffer()
        self.reply_timeout_s = timeout_s
        self.write(request)
        return self.read()

    def owes(self, address: int) -> bool:
        """Tell whether a question to `address` went unanswered and was not forgiven."""
        return address in self._owing

    def forgive(self, address: int) -> None:
        """Expect no more late reply from `address`."""
        self._owing.discard(address)

    def doubt(self, address: int) -> None:
        """Note that a second question, meant to tell late from prompt, went unanswered."""
        self._doubted.add(address)

    def forget_doubt(self, address: int) -> bool:
        """Tell whether `address` was in doubt, and end it."""
        was_doubted = address in self._doubted
        self._doubted.discard(address)
        return was_doubted

    def complaint(self) -> str:
        """Say in a word what is wrong with the last reply, if it was none."""
        return frames.describe_bad(self.last_reply, self._request)

    def drain(self, seconds: float = DRAIN_S) -> bytes:
        """Take away and return what arrives during the next `seconds`."""
        deadline = time.monotonic() + seconds
        arrived = b""
        while (wait_s := deadline - time.monotonic()) > 0:
            if self._readable(wait_s):
                arrived += self._receive()
        return arrived

    def _next_reply(self, within_s: float) -> bytes | None:
        more = self._surplus + self.drain(within_s)
        return frames.find_reply(more, self._request)

    def _is_too_soon(self, reply: bytes) -> bool:
        on_wire_s = frames.shortest_time_s(self._request, reply)
        return time.monotonic() < self._written_s + on_wire_s

    def _readable(self, wait_s: float) -> bool:
        return bool(select.select([self], [], [], wait_s)[0])

    def _receive(self) -> bytes:
        try:
            chunk = os.read(self.fileno(), 256)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise serial.SerialException(error.errno, error.strerror) from error
        if not chunk and self.is_hung_up():
            raise serial.SerialException(errno.EIO, "the port hung up")
        self.is_robbed = self.is_robbed or not chunk
        return chunk

    def _without_echo(self, received: bytes) -> bytes:
        """Take away the request itself, where an adapter hands it back."""
        return received.removeprefix(self._request)

    def _without_late_replies(self, received: bytes) -> bytes:
        """Take away replies of other meters that were given up on before."""
        for address in self._owing - {self._request[0]}:
            asked = bytes([address]) + self._request[1:]
            if (late := frames.find_reply(received, asked)) is not None:
                received = received.replace(late, b"", 1)
        return received


@contextlib.contextmanager
def opened(path: str) -> Iterator[Line]:
    """Hold the port for a while; whatever happens to it comes as `PortError`."""
    line = Line(path)
    try:
        yield line
    except serial.SerialException as error:
        raise PortError(f"{path} failed: {error}; was it unplugged?") from error
    except termios.error as error:
        raise PortError(f"{path} failed: {error.args[-1]}; was it unplugged?") from error
    finally:
        line.close()


def _port_error(path: str, error: BaseException) -> PortError:
    code = error.args[0] if error.args else None
    if code in (errno.EAGAIN, errno.EBUSY):
        holder = holder_of(path)
        by = f" by {holder}" if holder else " by another process"
        return PortBusyError(f"{path} is in use{by}; stop that first{known_grabber()}")
    if code == errno.ENOENT:
        return PortError(f"{path} does not exist; is the adapter plugged in?")
    if code == errno.EACCES:
        return PortError(f"{path}: permission denied; be root or a member of group dialout")
    if isinstance(error, serial.SerialException) and "configure" in str(error):
        return PortError(f"{path} is not a serial port; mend ports in the configuration")
    return PortError(f"{path} cannot be used: {os.strerror(code) if type(code) is int else error}")


def known_grabber() -> str:
    """Return a hint for the end of a complaint if something here is known to take adapters.

    It goes by the program's file: the service does not see other processes.
    """
    if any(path.exists() for path in BRLTTY):
        return " (brltty takes such adapters; without a braille display: sudo apt purge brltty)"
    return ""


def holder_of(path: str) -> str | None:
    """Name the process that holds the lock on `path`, as `NAME (pid N)`, if it is seen."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for lock in Path("/proc/locks").read_text(encoding="utf-8").splitlines():
            fields = lock.split()  # 1: FLOCK ADVISORY WRITE 4711 00:17:5 0 EOF (proc(5))
            if fields[1] == "FLOCK" and fields[5] == device:
                name = Path(f"/proc/{fields[4]}/comm").read_text(encoding="utf-8").strip()
                return f"{name} (pid {fields[4]})"
    return None
