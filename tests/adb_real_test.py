"""The ADB connector against Android's own daemon, across a cable: large files, links that break, reboots."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment import android
from deployment.adb import AdbConnector, transports
from deployment.connector import script
from deployment.errors import LostLinkError, NoSpaceError, UnreachableError
from deployment.steps import Report, carry_out
from tests.emulated_phone import EmulatedPhone
from tests.real_adbd import RealAdbd, cabled_adbd

MB = 1_000_000


@pytest.fixture(scope="module")
def adbd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAdbd]:
    with cabled_adbd(tmp_path_factory.mktemp("adbd")) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adb") / "key"


@pytest.fixture
def phone(adbd: RealAdbd, key: Path) -> Iterator[AdbConnector]:
    connector = AdbConnector("phone", host=adbd.host, key=key)
    yield connector
    connector.close()


def _random(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(MB) * (size // MB))
    return path


def test_commands(phone: AdbConnector, tmp_path: Path) -> None:
    completed = phone.run(script('printf %s "$1"; pwd; echo no >&2; cat; exit 7', "a  'b'"), stdin=b"in")
    assert (completed.status, completed.stdout) == (7, b"a  'b'/data/local/tmp\nin")
    assert completed.stderr == b"no\n"
    assert phone.run(["sh", "-c", "kill -9 $$"]).status != 0
    data = os.urandom(2 * MB)
    assert phone.run(["cat"], stdin=data).stdout == data
    phone.run(["mount", "-t", "proc", "proc", "/proc"])
    with pytest.raises(NoSpaceError, match=r"phone: /proc/x needs 1.0 MB, and 0.0 MB are free; make room"):
        phone.put(_random(tmp_path / "x", MB), "/proc/x")


def test_fifty_megabytes(phone: AdbConnector, adbd: RealAdbd, tmp_path: Path) -> None:
    source = _random(tmp_path / "model", 50 * MB)
    assert phone.put(source, "fifty") == 50 * MB
    assert (adbd.root / "data/local/tmp/fifty").read_bytes() == source.read_bytes()
    assert phone.put(source, "fifty") == 0


def test_what_we_stop_ourselves_is_kept(phone: AdbConnector, adbd: RealAdbd, tmp_path: Path) -> None:
    source = _random(tmp_path / "model", 5 * MB)

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 3 * MB:
            raise StopError

    with pytest.raises(StopError):
        phone.put(source, "stopped", progress=stop)
    assert 0 < phone.put(source, "stopped") <= 4 * MB
    with pytest.raises(StopError):
        phone.get("stopped", tmp_path / "back", progress=stop)
    assert 0 < phone.get("stopped", tmp_path / "back") <= 2 * MB
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_a_cable_that_is_pulled(
    phone: AdbConnector, adbd: RealAdbd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "DEAD_LINK_S", 3)
    source = _random(tmp_path / "model", 20 * MB)

    def pull(done: int, total: int) -> None:
        if done > 12 * MB:
            adbd.pull_cable()

    try:
        with pytest.raises(LostLinkError, match="phone: the connection broke .*goes on where it stopped"):
            phone.put(source, "pulled", progress=pull)
    finally:
        adbd.plug_cable()
    monkeypatch.undo()
    moved = phone.put(source, "pulled")
    assert 0 < moved <= 15 * MB
    assert (adbd.root / "data/local/tmp/pulled").read_bytes() == source.read_bytes()


def test_a_phone_that_reboots_in_a_push(phone: AdbConnector, adbd: RealAdbd, tmp_path: Path) -> None:
    source = _random(tmp_path / "model", 20 * MB)

    def switch_off(done: int, total: int) -> None:
        if done > 12 * MB:
            adbd.stop()

    with pytest.raises(LostLinkError):
        phone.put(source, "rebooted", progress=switch_off)
    with pytest.raises(UnreachableError, match=r"cannot be reached \(connection refused\)"):
        phone.put(source, "rebooted")
    adbd.start()
    assert 0 < phone.put(source, "rebooted") <= 15 * MB
    assert (adbd.root / "data/local/tmp/rebooted").read_bytes() == source.read_bytes()


def test_the_app_across_a_cable(phone: AdbConnector, adbd: RealAdbd, real_apk: Path | None, tmp_path: Path) -> None:
    """Google's daemon, the real APK where there is one, and an emulated Android behind ``am`` and ``pm``."""
    emulated = EmulatedPhone(adbd.root)
    apk = real_apk or tmp_path / "app.apk"
    if real_apk is None:
        with zipfile.ZipFile(apk, "w") as archive:
            archive.writestr("AndroidManifest.xml", b"made by a test")
            archive.writestr("lib/arm64-v8a/lib.so", os.urandom(4 * MB))
    plan = android.AppPlan(apk, {"server": "10.0.0.1:9092"}, {"data": _random(tmp_path / "shard.npz", 8 * MB)})

    def pull(done: int, total: int) -> None:
        if total > 6 * MB and done > 4 * MB:
            adbd.stop()

    with pytest.raises(LostLinkError):
        carry_out(android.push(phone, plan), progress=pull)
    adbd.start()
    again = carry_out(android.push(phone, plan))
    assert 0 < again.moved_bytes < 8 * MB, "the app is installed, and the data goes on"
    assert carry_out(android.push(phone, plan)) == Report(0, 0)
    assert emulated.base.read_bytes() == apk.read_bytes()
    carry_out(android.start(phone, {"rounds": "2"}))
    assert android.status(phone).running
    assert carry_out(android.collect(phone, tmp_path / "results")).steps == 3
    carry_out(android.stop(phone))
    carry_out(android.uninstall(phone))
    assert not emulated.base.exists()
    emulated.root.close()
