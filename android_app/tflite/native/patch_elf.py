"""Make Android's TensorFlow Lite library loadable by glibc.

The library in the AAR is an ordinary ELF shared object that expects Android's C library, bionic. Most of what it calls
has the same name, arguments and structures in glibc. This patch deals with the rest, without moving a byte:

* versions of symbols (``LIBC``) are dropped, as glibc has others;
* ``libm.so``, ``libdl.so`` and ``libc.so`` are no longer asked for by name, and ``liblog.so`` becomes ``libbsh.so``,
  our shim (``bionic_shim.c``), which is looked for beside the library and brings glibc with it;
* functions that exist in both but differ get names of the shim's: their first letter becomes ``B``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["DIFFERENT", "SHIM", "patch"]

SHIM = "libbsh.so"

DIFFERENT = frozenset(
    (
        # What takes a FILE: bionic's stdin, stdout and stderr are elements of an array.
        *("fclose", "fflush", "fileno", "fprintf", "fputc", "fread", "fwrite", "vfprintf"),
        # glibc's strerror_r returns a pointer; the numbers that sysconf takes are others; dlsym looks elsewhere.
        *("strerror_r", "sysconf", "dlsym"),
    )
)
"""Functions whose behaviour differs between the two C libraries."""

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RUNPATH = 0, 1, 4, 5, 6, 29
_DT_VERSIONS = frozenset((0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF))
# A tag that nobody knows, in the range that loaders have to ignore.
_DT_IGNORED = 0x6000DEAD


class _Dynamic(NamedTuple):
    """An entry of the dynamic section and where it stands in the file."""

    offset: int
    tag: int
    value: int


class _Library:
    """The parts of a 64-bit little-endian ELF file that the patch touches."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self.data = bytearray(data)
        (table,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        headers = [struct.unpack_from("<IIQQQQQQ", data, table + index * size) for index in range(count)]
        self._loads = [(header[3], header[2], header[5]) for header in headers if header[0] == _PT_LOAD]
        (start,) = (header[2] for header in headers if header[0] == _PT_DYNAMIC)
        self.dynamic = list(self._read_dynamic(start))
        self._strings = self._offset(self._value(_DT_STRTAB))
        self._symbols = self._offset(self._value(_DT_SYMTAB))

    def _read_dynamic(self, offset: int) -> Iterator[_Dynamic]:
        while True:
            tag, value = struct.unpack_from("<QQ", self.data, offset)
            if tag == _DT_NULL:
                return
            yield _Dynamic(offset, tag, value)
            offset += 16

    def _value(self, tag: int) -> int:
        return next(entry.value for entry in self.dynamic if entry.tag == tag)

    def _offset(self, address: int) -> int:
        """Return where in the file a virtual address is loaded from."""
        return next(address - start + offset for start, offset, size in self._loads if start <= address < start + size)

    def string(self, name: int) -> str:
        """Return a string of the string table."""
        start = self._strings + name
        return self.data[start : self.data.index(0, start)].decode()

    def rewrite(self, name: int, text: str) -> None:
        """Overwrite a string of the string table by one that is not longer."""
        start, old = self._strings + name, self.string(name)
        if len(text) > len(old):
            raise ValueError(f"{text!r} does not fit in the place of {old!r}")
        self.data[start : start + len(old)] = text.encode().ljust(len(old), b"\0")

    def retag(self, entry: _Dynamic, tag: int) -> None:
        """Give an entry of the dynamic section another meaning."""
        struct.pack_into("<Q", self.data, entry.offset, tag)

    def symbol_names(self) -> dict[int, bool]:
        """Return the place of each symbol's name in the string table, and whether the symbol is undefined."""
        _, count = struct.unpack_from("<II", self.data, self._offset(self._value(_DT_HASH)))
        names: dict[int, bool] = {}
        for index in range(1, count):
            name, _, _, section = struct.unpack_from("<IBBH", self.data, self._symbols + 24 * index)
            names[name] = section == 0
        return names


def patch(data: bytes) -> bytes:
    """Return the library for glibc.

    Raises
    ------
    ValueError
        The file is not what it was when this patch was written.
    """
    library = _Library(data)
    for entry in library.dynamic:
        if entry.tag in _DT_VERSIONS:
            library.retag(entry, _DT_IGNORED)
        elif entry.tag == _DT_NEEDED:
            needed = library.string(entry.value)
            if needed == "liblog.so":
                library.rewrite(entry.value, SHIM)
            elif needed == "libc.so":
                library.rewrite(entry.value, "$ORIGIN")
                library.retag(entry, _DT_RUNPATH)
            elif needed in ("libm.so", "libdl.so"):
                library.retag(entry, _DT_IGNORED)
            else:
                raise ValueError(f"the library needs {needed}, which this patch does not know")
    names = library.symbol_names()
    for name, undefined in names.items():
        text = library.string(name)
        if not undefined or text not in DIFFERENT:
            continue
        # A linker may let "fputc" and "putc" share bytes.
        shared = [other for other in names if name - 256 < other < name + len(text) and other != name]
        if any(other > name or other + len(library.string(other)) > name for other in shared):
            raise ValueError(f"the name {text} shares its bytes with another")
        library.rewrite(name, "B" + text[1:])
    return bytes(library.data)


if __name__ == "__main__":
    source, target = sys.argv[1:]
    Path(target).write_bytes(patch(Path(source).read_bytes()))
