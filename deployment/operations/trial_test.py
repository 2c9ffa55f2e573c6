"""A runtime that dies in training, as ai-edge-litert's arm64 wheels do in an emulator, and what is done instead."""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from deployment.connector import Completed
from deployment.errors import PlatformError
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.local import LocalConnector
from deployment.operations import release_for, trial
from deployment.operations.push import push_first
from deployment.operations.release_for import releases_for, runtimes_for
from deployment.operations.status import read_status
from deployment.releases import Release
from deployment.runtimes import Runtime
from deployment.steps import Step, carry_out

DIES = b"import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
REAL = b"from ai_edge_litert.interpreter import Interpreter\n"
"""What tflite-runtime is here: the tests' own runtime, under another name."""


PIP = b"""
import sys, sysconfig, zipfile
for word in sys.argv:
    if word.endswith(".whl"):
        zipfile.ZipFile(word).extractall(sysconfig.get_paths()["purelib"])
"""
"""Does what is asked of it here, in a tenth of the time."""


@pytest.fixture(name="wheels")
def make_wheels(tmp_path: Path) -> dict[str, list[Path]]:
    """Make a pip, and wheels of both runtimes with which the packages of the tests come along."""
    contents = {"pip-1-py3-none-any": {"pip/__main__.py": PIP}}
    for name, code in (("ai_edge_litert", DIES), ("tflite_runtime", REAL)):
        contents[f"{name}-2-py3-none-any"] = {
            f"{name}/__init__.py": b"",
            f"{name}/interpreter.py": code,
            f"{name}.pth": sysconfig.get_paths()["purelib"].encode(),
        }
    made = []
    for wheel, files in contents.items():
        made.append(tmp_path / f"{wheel}.whl")
        with zipfile.ZipFile(made[-1], "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
    pip, litert, tflite = made
    return {"ai-edge-litert": [pip, litert], "tflite-runtime": [pip, tflite]}


@pytest.fixture(name="here")
def make_here(tmp_path: Path) -> LocalConnector:
    (tmp_path / "home").mkdir()
    return LocalConnector("board", home=tmp_path / "home")


@pytest.fixture(name="board")
def make_board(tmp_path: Path) -> DeviceEntry:
    (tmp_path / "d.npz").write_bytes(b"data")
    return DeviceEntry("board", "local", data=tmp_path / "d.npz", python=sys.executable, threads=1)


def test_a_runtime_that_dies_in_training_is_noted_and_the_next_is_taken(
    wheels: dict[str, list[Path]],
    here: LocalConnector,
    board: DeviceEntry,
    tmp_path: Path,
    digits_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def wheels_for(device: str, runtime: Runtime) -> list[Path]:
        asked.append(runtime.name)
        return wheels[runtime.package]

    monkeypatch.setattr(release_for, "wheels_for", wheels_for)
    server = ServerEntry(address="http://127.0.0.1:9", bundle=digits_bundle)
    planned = [step.describe for step in push_first(here, board, releases_for(here, board, server))]
    assert "take a training step with ai-edge-litert-2.3.0" in planned
    assert not (tmp_path / "home" / board.directory).exists()

    done: list[str] = []
    carry_out(
        push_first(here, board, releases_for(here, board, server)), done=lambda step, moved: done.append(step.describe)
    )
    assert [line for line in done if "step" in line] == [
        "take a training step with ai-edge-litert-2.3.0",
        "do without ai-edge-litert-2.3.0: it died of SIGSEGV in a training step",
        "take a training step with tflite-runtime-2.14.0",
    ]
    root = tmp_path / "home" / board.directory
    (environment,) = [path for path in (root / "environments").iterdir() if path.is_dir()]
    assert f"environments/{environment.name}/" in (root / "current/run.sh").read_text()
    assert list(environment.glob("lib/*/site-packages/tflite_runtime"))
    assert read_status(here, board).release

    # Another push knows, and asks for nothing.
    asked.clear()
    assert not list(push_first(here, board, releases_for(here, board, server)))
    assert asked == ["tflite-runtime-2.14.0"]


class Ended(LocalConnector):
    """A board on which every trial ends with a status."""

    def __init__(self, home: Path, status: int, complaint: bytes = b"") -> None:
        super().__init__("board", home=home)
        self._ended = Completed(status, b"", complaint)

    def run(self, words: object, *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        if trial._TRY in words:  # type: ignore[operator]
            return self._ended
        return super().run(words, timeout_s=timeout_s, stdin=stdin)  # type: ignore[arg-type]


RELEASE = Release("r", (), (), "e", "", "", "ai-edge-litert-2.3.0")


def trials(connector: LocalConnector, board: DeviceEntry, release: Release = RELEASE) -> list[str]:
    done: list[str] = []
    steps = trial.try_runtime(connector, board, release)
    carry_out(steps, done=lambda step, moved: done.append(step.describe))
    return done[1:]


def test_only_a_runtimes_own_fault_is_held_against_it(tmp_path: Path, board: DeviceEntry) -> None:
    (tmp_path / board.directory / "environments").mkdir(parents=True)
    assert trials(Ended(tmp_path, 0), board) == []
    for status in (137, 1):  # out of memory; a bundle that cannot be used
        with pytest.raises(PlatformError, match=rf"with ai-edge-litert-2.3.0 failed with status {status}: no"):
            trials(Ended(tmp_path, status, b"no\n"), board)
    assert trial.unfit_runtimes(Ended(tmp_path, 0), board.directory) == {}
    assert trials(Ended(tmp_path, 132), board) == [
        "do without ai-edge-litert-2.3.0: it died of SIGILL in a training step"
    ]
    (line,) = trials(Ended(tmp_path, 3, b"libm.so.6: version not found"), board)
    assert line.endswith("it cannot be used: libm.so.6: version not found")


def test_where_none_trains_all_are_named_and_another_time_all_are_tried(
    here: LocalConnector, board: DeviceEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(release_for, "wheels_for", lambda device, runtime: [])
    facts = {"machine": "aarch64", "glibc": "2.36", "python": "3.11"}
    monkeypatch.setattr(release_for, "read_facts", lambda *given, **options: facts)
    server = ServerEntry(address="http://127.0.0.1:9", trust=board.data)
    ended = Ended(tmp_path / "home", 139)
    (tmp_path / "home" / board.directory / "environments").mkdir(parents=True)

    def steps(device: DeviceEntry) -> list[Step]:
        named = [each.name for each in runtimes_for(ended, device, facts)]
        for release in releases_for(ended, device, server):
            trials(ended, device, release)
            named.remove(release.runtime)
        return []

    with pytest.raises(PlatformError) as raised:
        steps(board)
    for name in ("ai-edge-litert-2.1.0", "ai-edge-litert-2.3.0", "tflite-runtime-2.14.0"):
        assert f"{name} died of SIGSEGV in a training step" in str(raised.value)
    assert [each.name for each in runtimes_for(here, board, facts)] == [
        *("ai-edge-litert-2.3.0", "tflite-runtime-2.14.0", "ai-edge-litert-2.1.0")
    ]
