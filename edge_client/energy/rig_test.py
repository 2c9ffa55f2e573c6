"""Built trees of ``/sys`` and a clock that tests move."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Union

from edge_client.energy.source import About, PowerSource, ReadingError

Tree = Mapping[str, Union[str, int]]


def write_tree(root: Path, files: Tree) -> Path:
    """Write attributes under ``root``, as the kernel shows them: a line each."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n", encoding="ascii")
    return root


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time; asking takes a microsecond."""
        self.now += 1e-6
        return self.now


class Scripted(PowerSource):
    """A source whose readings a test sets."""

    def __init__(self, about: About) -> None:
        self.about = about
        self.value: float = 0.0
        self.problem = ""
        self.excludes = False
        self.closed = False

    def read(self) -> float:
        """Return the value, or fail."""
        if self.problem:
            raise ReadingError(self.problem, excludes=self.excludes)
        return self.value

    def close(self) -> None:
        """Remember it."""
        self.closed = True
