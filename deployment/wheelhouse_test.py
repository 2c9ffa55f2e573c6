"""Environments from wheels, without an index: a wheel made here, and the pip that comes with Python."""

from __future__ import annotations

import base64
import contextlib
import ensurepip
import hashlib
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from deployment import wheelhouse
from deployment.connector import no_progress
from deployment.errors import CommandError, PlatformError
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.local import LocalConnector
from deployment.operations.push import push
from deployment.releases import make_release
from deployment.runtimes import Runtime
from deployment.steps import carry_out
from deployment.wheelhouse import wheels_for


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Make a folder with a wheel called tiny, and pip's."""
    folder = tmp_path / "index"
    folder.mkdir()
    # Debian keeps the wheels of ensurepip in a place of its own.
    wheels = sysconfig.get_config_var("WHEEL_PKG_DIR") or Path(ensurepip.__file__).parent / "_bundled"
    (pip,) = Path(wheels).glob("pip-*.whl")
    shutil.copy(pip, folder)
    files = {
        "tiny.py": b"answer = 42\n",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            record += f"{name},sha256={digest},{len(content)}\n"
        wheel.writestr("tiny-1.0.dist-info/RECORD", record + "tiny-1.0.dist-info/RECORD,,\n")
    return folder


def runtime(requirement: str) -> Runtime:
    return Runtime("tiny", "1.0", (requirement,), "3.11", ("manylinux2014_aarch64",))


def test_wheels_are_fetched_once_for_a_kind_of_board(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    found = wheels_for("board", runtime("tiny==1.0"), tmp_path / "cache")
    assert [path.name.partition("-")[0] for path in found] == ["pip", "tiny"]
    shutil.rmtree(index)
    assert wheels_for("board", runtime("tiny==1.0"), tmp_path / "cache") == found
    with pytest.raises(
        PlatformError, match=r"board: pip finds no wheels for its manylinux2014_aarch64 and Python 3.11"
    ):
        wheels_for("board", runtime("tiny==2.0"), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_two_processes_may_fetch_the_same(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    depth: list[int] = []

    def download(device: str, wanted: Runtime, folder: Path) -> None:
        shutil.copytree(index, folder, dirs_exist_ok=True)
        if not depth:
            depth.append(1)
            monkeypatch.setattr(wheelhouse, "_lock", contextlib.nullcontext())  # that of the other process
            wheels_for("other", runtime("tiny==1.0"), cache)

    monkeypatch.setattr(wheelhouse, "_download", download)
    found = wheels_for("board", runtime("tiny==1.0"), cache)
    assert [path.name.partition("-")[0] for path in found] == ["pip", "tiny"]
    assert len(list(cache.iterdir())) == 1


def test_an_environment_is_made_without_the_internet_and_kept_while_it_fits(index: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    here = LocalConnector("board", home=tmp_path / "home")
    data = tmp_path / "d.npz"
    data.write_bytes(b"data")
    board = DeviceEntry("board", "local", data=data, python=sys.executable, directory="our fleet")
    server = ServerEntry(address="http://127.0.0.1:9", trust=data)
    wheels = sorted(index.iterdir())

    new = make_release(board, server, wheels, "3.11")
    steps = list(push(here, board, new))
    making = next(step for step in steps if step.describe.startswith("make environment"))
    for step in steps[: steps.index(making)]:
        step.apply(no_progress)
    tiny = next(part for part in new.wheels if part.name.startswith("tiny"))
    blob = tmp_path / "home" / board.directory / tiny.blob
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + b"x")
    with pytest.raises((CommandError, PlatformError), match=r"board: .*tiny-1.0-py3-none-any.whl is damaged on the"):
        making.apply(no_progress)
    # Settings of the user's for pip are not ours.
    (tmp_path / "home/.config/pip").mkdir(parents=True)
    (tmp_path / "home/.config/pip/pip.conf").write_text("[install]\nrequire-hashes = true\nuser = true\n")
    carry_out(push(here, board, new))
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [".config", board.directory]
    python = f"{board.directory}/environments/{new.environment}/bin/python"
    assert here.run([python, "-c", "import tiny; print(tiny.answer)"]).text == "42"
    assert here.run([python, "-c", "import numpy"]).status != 0, "the environment sees the host's packages"
    assert f'"$root/environments/{new.environment}/bin/python"' in new.run

    data.write_bytes(b"other data")
    described = [step.describe for step in push(here, board, make_release(board, server, wheels, "3.11"))]
    assert not [line for line in described if "environment" in line or "whl" in line]
