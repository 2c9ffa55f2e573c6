"""The shell service of an emulated ADB daemon. Source: AOSP, ``packages/modules/adb/shell_protocol.h``."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import struct
import subprocess
import threading
from collections.abc import Callable

__all__ = ["EmulatedShell"]

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN, WINDOW_SIZE = range(6)
_HEADER = struct.Struct("<BI")


class EmulatedShell:
    """A process whose files travel in packets.

    Parameters
    ----------
    process
        With pipes to all three of its files.
    inbox
        What the host sends, in pieces; None: no more will come.
    write
        Sends bytes to the host; raises where it is gone.
    taken
        Called when a piece of input has been taken.
    gone
        Whether the host has closed the stream.
    breaches
        Takes a sentence for each breach of the protocol.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        inbox: queue.Queue[bytes | None],
        *,
        write: Callable[[bytes], None],
        taken: Callable[[], None],
        gone: Callable[[], bool],
        breaches: list[str],
    ) -> None:
        self._process, self._inbox, self._breaches = process, inbox, breaches
        self._write, self._taken, self._gone = write, taken, gone
        self._turn = threading.Lock()

    def run(self) -> None:
        """Serve until the process has ended and the host knows its status."""
        outputs = [threading.Thread(target=self._output, args=(kind,), daemon=True) for kind in (STDOUT, STDERR)]
        for thread in outputs:
            thread.start()
        threading.Thread(target=self._input, daemon=True).start()
        for thread in outputs:
            thread.join()
        status = self._process.wait()
        self._write(_HEADER.pack(EXIT, 1) + bytes([status & 0xFF]))

    def _output(self, kind: int) -> None:
        pipe = self._process.stdout if kind == STDOUT else self._process.stderr
        assert pipe is not None
        with pipe:
            try:
                while data := os.read(pipe.fileno(), 1 << 16):
                    with self._turn:
                        self._write(_HEADER.pack(kind, len(data)) + data)
            except (OSError, EOFError):
                self._hang_up()

    def _input(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        buffer = bytearray()
        try:
            while (data := self._inbox.get()) is not None:
                buffer += data
                while len(buffer) >= _HEADER.size:
                    kind, size = _HEADER.unpack_from(buffer)
                    if len(buffer) < _HEADER.size + size:
                        break
                    content = bytes(buffer[_HEADER.size : _HEADER.size + size])
                    del buffer[: _HEADER.size + size]
                    if kind == STDIN and not pipe.closed:
                        pipe.write(content)
                        pipe.flush()
                    elif kind == CLOSE_STDIN:
                        pipe.close()
                    elif kind not in (STDIN, WINDOW_SIZE):
                        self._breaches.append(f"shell packet of kind {kind} from the host")
                self._taken()
        except (OSError, EOFError, ValueError):
            pass
        finally:
            if self._gone():
                self._hang_up()
            with contextlib.suppress(OSError):
                pipe.close()

    def _hang_up(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGHUP)
