"""Commands over ADB's shell protocol, which keeps standard input, both outputs and the exit status apart.

Source: AOSP, ``packages/modules/adb/shell_protocol.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from deployment.adb.link import Opener

__all__ = ["MOST_COMPLAINT_BYTES", "converse"]

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")
MOST_COMPLAINT_BYTES = 1 << 20


def converse(
    opener: Opener, command: str, stdin: Iterable[bytes], stdout: Callable[[bytes], object]
) -> tuple[int, bytes]:
    """Run shell text on the device.

    Parameters
    ----------
    stdin
        Blocks for the command to read; a command that ends early is given no more of them.
    stdout
        Called with what it writes.

    Returns
    -------
    Exit status, and the first `MOST_COMPLAINT_BYTES` of what it wrote to standard error.

    Raises
    ------
    ConnectionError
        It ended without an exit status.
    TimeoutError
        The opener's deadline was over.
    """
    stream = opener.open(f"shell,v2,raw:{command}")
    for block in stdin:
        if not stream.write(_HEADER.pack(STDIN, len(block)) + block):
            break
    else:
        stream.write(_HEADER.pack(CLOSE_STDIN, 0))
    status: int | None = None
    complaint = bytearray()
    buffer = bytearray()
    while data := stream.read():
        buffer += data
        while len(buffer) >= _HEADER.size:
            kind, size = _HEADER.unpack_from(buffer)
            if len(buffer) < _HEADER.size + size:
                break
            content = bytes(buffer[_HEADER.size : _HEADER.size + size])
            del buffer[: _HEADER.size + size]
            if kind == STDOUT:
                stdout(content)
            elif kind == STDERR:
                complaint += content[: MOST_COMPLAINT_BYTES - len(complaint)]
            elif kind == EXIT and content:
                status = content[0]
    if status is None:
        raise ConnectionResetError("the device closed the stream")
    return status, bytes(complaint)
