"""Simulated experiments of a paper's table: each case and seed is a run directory of its own, and what ran is kept.

A script makes bundles and data under its folder, writes an experiment file for each case and seed, and calls
`run_case`. A call that was interrupted goes on there: finished runs are read, begun ones are resumed.
"""

from __future__ import annotations

import io
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image

from model_export.files import write_atomically
from python_server.run_reader import RunReader
from python_server.run_rows import DeviceRoundRow, RoundRow
from python_server.store import DATABASE

__all__ = [
    "CLASSES",
    "ROOT",
    "CaseRun",
    "cifar10",
    "cifar10_file",
    "finished_case",
    "mean_and_range",
    "run_case",
    "write_section",
]

ROOT = Path(__file__).resolve().parent.parent.parent
CLASSES = 10


@dataclass(frozen=True)
class CaseRun:
    """A finished run.

    Attributes
    ----------
    path
        Its run directory.
    rounds
        Committed rounds; the first is the state before training.
    devices
        What each device did in each round.
    """

    path: Path
    rounds: Sequence[RoundRow]
    devices: Sequence[DeviceRoundRow]

    @property
    def accuracies(self) -> dict[int, float]:
        """Accuracy on the server's test images by round, where it was evaluated."""
        return {row.round: row.accuracy for row in self.rounds if row.accuracy is not None}

    @property
    def final(self) -> float:
        """Accuracy after the last round."""
        return self.accuracies[self.rounds[-1].round]

    @property
    def best(self) -> float:
        """The best accuracy after any round."""
        return max(self.accuracies.values())

    @property
    def seconds(self) -> float:
        """Time of all rounds, of the virtual clock."""
        return sum(row.wall_s for row in self.rounds[1:])

    @property
    def traffic(self) -> int:
        """Bytes of arrays, to the devices and from them."""
        return sum((row.download_bytes or 0) + (row.upload_bytes or 0) for row in self.devices)


def run_case(folder: Path, name: str, experiment: str, *, in_process: bool = False) -> CaseRun:
    """Simulate an experiment, or go on with it, or read what it came to.

    Parameters
    ----------
    folder
        The script's; the run lies in ``folder/name``, its experiment file beside it.
    name
        Of the case and its seed, such as ``fedlama-2-seed0``.
    experiment
        The text of the experiment file; relative paths start from ``folder``. One that has changed since the run began
        starts it anew.
    in_process
        Simulate in this process instead of one of its own, which imports TensorFlow once for all cases.

    Raises
    ------
    SystemExit
        The simulation failed; what it said has been printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, runs = folder / f"{name}.toml", folder / name
    if file.exists() and file.read_text(encoding="utf-8") != experiment:
        shutil.rmtree(runs, ignore_errors=True)
    write_atomically(file, experiment.encode())
    begun = sorted(path for path in runs.iterdir() if (path / DATABASE).exists()) if runs.is_dir() else []
    if not begun or _status(begun[-1]) != "finished":
        words = ["--resume", str(begun[-1])] if begun else [str(file)]
        status = _simulate([*words, "--runs", str(runs)], folder, in_process=in_process)
        if status:
            raise SystemExit(f"{file}: the simulation ended with status {status}")
        begun = sorted(path for path in runs.iterdir() if (path / DATABASE).exists())
    return _read(begun[-1])


def _simulate(words: Sequence[str], folder: Path, *, in_process: bool) -> int:
    if in_process:
        from python_server.cli import main

        return main(["simulate", *words])
    command = [sys.executable, "-m", "python_server.cli", "simulate", *words]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode


def finished_case(folder: Path, name: str, experiment: str) -> Optional[CaseRun]:
    """Read what `run_case` came to, without running anything; None if it has not finished this experiment."""
    file, runs = folder / f"{name}.toml", folder / name
    if not file.exists() or file.read_text(encoding="utf-8") != experiment or not runs.is_dir():
        return None
    begun = sorted(path for path in runs.iterdir() if (path / DATABASE).exists())
    return _read(begun[-1]) if begun and _status(begun[-1]) == "finished" else None


def _read(run: Path) -> CaseRun:
    with RunReader(run) as reader:
        return CaseRun(run, reader.rounds(), reader.device_rounds())


def _status(run: Path) -> str:
    with RunReader(run) as reader:
        return reader.status


def cifar10(part: str, count: int, pixels: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return the first images of CIFAR-10's ``train`` or ``test``, which are in random order, and their labels.

    Parameters
    ----------
    part
        ``train`` or ``test``.
    count
        How many images.
    pixels
        Height and width; below 32 each pixel is the mean of those that it stands for.

    Returns
    -------
    images : ndarray
        uint8 ``[count, pixels, pixels, 3]``.
    labels : ndarray
        int64 ``[count]``.

    Raises
    ------
    SystemExit
        The data is not there.
    """
    path = Path(os.environ.get("POCKETFLEET_SHARED", ROOT.parent / "shared")) / "data" / "cifar10_jpeg.npz"
    if not path.exists():
        raise SystemExit(f"{path} is not there; set POCKETFLEET_SHARED to the folder above data/")
    with np.load(path) as archive:
        content, offsets, labels = (archive[f"{part}_{name}"] for name in ("jpeg", "offsets", "labels"))
    count = min(count, len(labels))
    x = np.empty((count, pixels, pixels, 3), np.uint8)
    for i in range(count):
        image = Image.open(io.BytesIO(content[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB")
        x[i] = np.asarray(image if pixels == 32 else image.resize((pixels, pixels), Image.Resampling.BOX))
    return x, labels[:count].astype(np.int64)


def cifar10_file(file: Path, part: str, count: int, pixels: int = 32) -> Path:
    """Write the first images of a part as a client's data, unless they are there; return the file."""
    if not file.exists():
        x, y = cifar10(part, count, pixels)
        file.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, x=x, y=y)
        write_atomically(file, buffer.getvalue())
    return file


def mean_and_range(values: Sequence[float], form: str = ".3f") -> str:
    """Return values of several seeds as text: the mean, and in brackets the range where there are several."""
    mean = format(statistics.mean(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def write_section(page: Path, name: str, rows: Sequence[Mapping[str, str]]) -> None:
    """Put a table between the marks ``<!-- table NAME -->`` and ``<!-- end NAME -->`` of a Markdown page.

    Parameters
    ----------
    page
        The page, which has the marks.
    name
        Of the table.
    rows
        Cells by column.

    Raises
    ------
    SystemExit
        The page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- table {name} -->\n", f"<!-- end {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page} has no place for the table {name!r}: it needs the lines {begin.strip()} and {end}")
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row.get(column, "") for column in columns] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    write_atomically(page, f"{before}{begin}\n{table}\n\n{end}{after}".encode())
