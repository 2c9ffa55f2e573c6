"""Operations on a phone: the real connector and steps, against an emulated daemon and an emulated Android."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployment import android
from deployment.adb import AdbConnector
from deployment.android import AppPlan
from deployment.errors import (
    CommandError,
    DeployError,
    DeploymentError,
    LostLinkError,
    NoSpaceError,
    NotThereError,
    PlatformError,
)
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.managed import app_plan
from deployment.steps import Report, Step, carry_out
from model_export.bundle import write_bundle
from model_export.bundle_test import FILES, MANIFEST_VALUE
from tests.emulated_adbd import EmulatedAdbd
from tests.emulated_phone import FILE_SETTINGS, LIMITS, STATUS, WORD_SETTINGS, EmulatedPhone

APK_BYTES = 400_000
ACTIONS = ("CONFIGURE", "STATUS", "STOP", "KEY")


def _apk(path: Path, *abis: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", b"\3\0\10\0")
        for abi in abis:
            archive.writestr(f"lib/{abi}/libtensorflowlite_jni.so", os.urandom(APK_BYTES))
    return path


@dataclass
class Bench:
    """A phone, how it is reached, and what it shall have."""

    phone: EmulatedPhone
    adbd: EmulatedAdbd
    connector: AdbConnector
    plan: AppPlan

    def push(self) -> Report:
        return carry_out(android.push(self.connector, self.plan))

    def files(self) -> list[str]:
        folder = self.phone.root.file(f"{android.FILES}/fleet")
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adb") / "key"


@pytest.fixture
def bench(tmp_path: Path, key: Path) -> Iterator[Bench]:
    phone = EmulatedPhone(tmp_path / "android")
    (tmp_path / "ca.pem").write_text("certificate")
    (tmp_path / "trusted.pem").write_text("key")
    (tmp_path / "shard.npz").write_bytes(os.urandom(100_000))
    plan = AppPlan(
        _apk(tmp_path / "pocketfleet.apk", "arm64-v8a"),
        {"server": "192.168.1.10:9092", "name": "it's pixel 7", "gate": "false"},
        {"ca": tmp_path / "ca.pem", "trust": tmp_path / "trusted.pem", "data": tmp_path / "shard.npz"},
    )
    with EmulatedAdbd(phone.root) as adbd:
        connector = AdbConnector("pixel", host="127.0.0.1", port=adbd.port, key=key)
        yield Bench(phone, adbd, connector, plan)
        connector.close()
        assert not adbd.breaches
    phone.root.close()


def _described(steps: Iterator[Step]) -> list[str]:
    return [step.describe for step in steps]


def test_a_phone_from_its_box_to_results(bench: Bench, tmp_path: Path) -> None:
    planned = _described(android.push(bench.connector, bench.plan))
    assert planned == [
        "install pocketfleet.apk (0.4 MB)",
        "let the app make its folder",
        "push ca.pem as ca (0.0 MB)",
        "push trusted.pem as trust (0.0 MB)",
        "push shard.npz as data (0.1 MB)",
        planned[-1],
    ]
    assert "server=192.168.1.10:9092" in planned[-1]
    assert not bench.phone.base.exists(), "a dry run does nothing"

    assert bench.plan.apk is not None
    moved = bench.push().moved_bytes
    assert moved == bench.plan.apk.stat().st_size + 100_000 + len("certificate" + "key")
    assert bench.phone.base.read_bytes() == bench.plan.apk.read_bytes()
    assert bench.phone.settings["name"] == "it's pixel 7"
    data = bench.phone.root.file(bench.phone.settings["data"])
    assert data.read_bytes() == bench.plan.files["data"].read_bytes()
    assert not list(bench.phone.root.file("/data/local/tmp").iterdir()), "nothing is left behind"

    assert bench.push() == Report(0, 0), "a second push has nothing to do"

    assert _described(android.start(bench.connector, {"rounds": "5", "out": "night"})) == [
        "start the client rounds=5 out=night"
    ]
    carry_out(android.start(bench.connector, {"rounds": "5", "out": "night"}))
    assert bench.phone.limits == {"rounds": "5", "out": "night"}
    assert not _described(android.start(bench.connector))
    status = android.status(bench.connector)
    assert (status.running, status.phase, status.round) == (True, "waiting", 3)
    assert android.logs(bench.connector) == "1700000000.250 INFO event=connected"
    assert carry_out(android.collect(bench.connector, tmp_path / "results")).steps == 3
    assert android.collected(tmp_path / "results") == {"rounds": 1, "problem": ""}
    assert carry_out(android.collect(bench.connector, tmp_path / "results")).moved_bytes == 0
    carry_out(android.stop(bench.connector))
    assert not android.status(bench.connector).running
    assert not _described(android.stop(bench.connector))
    carry_out(android.uninstall(bench.connector))
    assert not bench.phone.base.exists()
    assert not _described(android.uninstall(bench.connector))


def test_new_data_is_switched_to_and_the_old_removed(bench: Bench) -> None:
    bench.push()
    before = bench.phone.settings["data"]
    bench.plan.files["data"].write_bytes(os.urandom(50_000))
    (bench.phone.root.file(before).parent / "data-0123456789abcdef.npz.part").write_text("of a push that was given up")
    report = bench.push()
    assert (report.steps, report.moved_bytes) == (3, 50_000)
    assert bench.phone.settings["data"] != before
    assert [name.split("-")[0] for name in bench.files()] == ["ca", "configured.json", "data", "trust"]


def test_a_bundle_in_a_directory_travels_as_its_zip(bench: Bench, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", MANIFEST_VALUE, FILES).path
    bench.plan = AppPlan(bench.plan.apk, bench.plan.settings, {**bench.plan.files, "bundle": bundle})
    bench.push()
    with zipfile.ZipFile(bench.phone.root.file(bench.phone.settings["bundle"])) as archive:
        assert "manifest.json" in archive.namelist()
    assert bench.push() == Report(0, 0)


@pytest.mark.parametrize("cut", [50_000, 350_000])
def test_a_push_that_is_cut_is_completed_by_the_next(bench: Bench, cut: int) -> None:
    bench.connector.run(["true"])
    bench.adbd.faults.cut_after = cut
    with pytest.raises(LostLinkError):
        bench.push()
    assert not bench.phone.base.exists()
    bench.push()
    assert bench.phone.base.exists()
    assert bench.phone.settings["server"] == "192.168.1.10:9092"
    assert bench.push() == Report(0, 0)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package signatures do not match",
            CommandError,
            "signed with another key (INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package signatures do not match); uninstall",
        ),
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE", NoSpaceError, "its storage is full"),
        ("INSTALL_FAILED_USER_RESTRICTED: Install canceled by user", CommandError, "allow 'Install via USB'"),
        ("INSTALL_FAILED_VERSION_DOWNGRADE", CommandError, "a newer version of the app is on it"),
        ("INSTALL_FAILED_SOMETHING_NEW", CommandError, "pm install failed (INSTALL_FAILED_SOMETHING_NEW)"),
        ("no such luck", CommandError, "pm install failed: Failure [no such luck]"),
    ],
)
def test_what_the_package_manager_refuses(bench: Bench, said: str, kind: type[DeployError], words: str) -> None:
    bench.phone.refuse_install = said
    with pytest.raises(DeployError) as caught:
        bench.push()
    assert type(caught.value) is kind
    assert str(caught.value).startswith("pixel: ")
    assert words in str(caught.value)
    assert not list(bench.phone.root.file("/data/local/tmp").iterdir())


def test_an_apk_that_the_phone_cannot_run_does_not_travel(bench: Bench, tmp_path: Path) -> None:
    bench.plan = AppPlan(_apk(tmp_path / "x86.apk", "x86_64"))
    with pytest.raises(PlatformError, match=r"x86.apk has code for x86_64, and its processor runs arm64-v8a, armeabi"):
        bench.push()
    bench.plan = AppPlan(_apk(tmp_path / "good.apk", "arm64-v8a"))
    bench.phone.properties |= {"ro.build.version.sdk": "25", "ro.build.version.release": "7.1.2"}
    with pytest.raises(PlatformError, match=r"its Android 7.1.2 \(API 25\) is too old; the app needs Android 8"):
        bench.push()
    (tmp_path / "text.apk").write_text("not a zip")
    bench.plan = AppPlan(tmp_path / "text.apk")
    with pytest.raises(DeploymentError, match=r"text.apk: not an APK"):
        bench.push()
    (tmp_path / "empty.bundle").mkdir()
    bench.plan = AppPlan(None, {}, {"bundle": tmp_path / "empty.bundle"})
    with pytest.raises(DeploymentError, match=r"empty.bundle: .*manifest.json"):
        bench.push()
    assert bench.adbd.received_bytes < 20_000


SOURCES = Path(__file__).resolve().parent.parent / "android_app" / "app" / "src" / "main"


def test_the_emulated_app_speaks_as_the_real_one_does() -> None:
    java = SOURCES / "java" / "org" / "pocketfleet" / "app"
    names = set(re.findall(r'case "([a-z-]+)":', (java / "Arguments.java").read_text()))
    assert names >= FILE_SETTINGS | WORD_SETTINGS | LIMITS
    planned = app_plan(
        DeviceEntry("pixel", connect="adb", apk=Path("a"), data=Path("b"), test_data=Path("c"), profile="pixel_6"),
        ServerEntry("https://server:1", Path("d"), Path("e"), Path("f")),
    )
    assert names >= {*planned.settings, *planned.files}
    receiver = (java / "ShellReceiver.java").read_text()
    assert set(re.findall(r'answer\.addProperty\("([a-z]+)"', receiver)) >= {*STATUS, "fingerprint", "pem", "problem"}
    manifest = (SOURCES / "AndroidManifest.xml").read_text()
    assert f'package="{android.PACKAGE}"' in manifest
    for declared in (".ShellReceiver", ".FleetService", *(f"org.pocketfleet.{name}" for name in ACTIONS)):
        assert f'"{declared}"' in manifest
    assert 'START = "org.pocketfleet.START"' in (java / "FleetService.java").read_text()


def test_the_real_apk(bench: Bench, real_apk: Path | None) -> None:
    if real_apk is None:
        pytest.skip("needs an APK: android_app/build_apk release --abi arm64-v8a, or name one with POCKETFLEET_APK")
    bench.plan = AppPlan(real_apk, bench.plan.settings, bench.plan.files)
    bench.push()
    assert bench.phone.base.read_bytes() == real_apk.read_bytes()
    carry_out(android.start(bench.connector))
    assert android.status(bench.connector).running
    carry_out(android.uninstall(bench.connector))
    # A phone that says less of itself than it should: the package manager has the last word.
    bench.phone.properties["ro.build.version.sdk"] = "25"
    with pytest.raises(PlatformError):
        bench.push()
    bench.phone.properties["ro.product.cpu.abilist"] = ""
    bench.phone.properties["ro.build.version.sdk"] = "34"
    with pytest.raises(PlatformError, match="the app has no code for its processor"):
        bench.push()


def test_wrong_settings_are_refused_by_the_app_and_tried_again(bench: Bench) -> None:
    bench.push()
    bench.plan = AppPlan(bench.plan.apk, {**bench.plan.settings, "colour": "red"}, bench.plan.files)
    for _ in range(2):
        with pytest.raises(CommandError, match="pixel: configure: argument 'colour' is unknown"):
            bench.push()


def test_an_app_that_is_not_there_or_does_not_start(bench: Bench, tmp_path: Path) -> None:
    for ask in (android.status, android.public_key):
        with pytest.raises(NotThereError, match="pixel: the app is not installed on it; install it: fleet push"):
            ask(bench.connector)
    assert not _described(android.stop(bench.connector))
    with pytest.raises(CommandError, match="Android does not start the service: Error: Not found"):
        carry_out(android.start(bench.connector))
    bench.plan = AppPlan(bench.plan.apk)
    bench.push()
    assert android.public_key(bench.connector) == ("SHA256:abc", bench.phone.pem)
    with pytest.raises(CommandError, match=r"the client has not started \(failed\): No server yet"):
        carry_out(android.start(bench.connector))
    with pytest.raises(NotThereError, match="there are no results in /sdcard/Android/data/.*has it taken part"):
        carry_out(android.collect(bench.connector, tmp_path / "results"))


def test_results_that_only_the_app_may_read(bench: Bench, tmp_path: Path) -> None:
    bench.push()
    bench.phone.files = "/data/user/0/org.pocketfleet.app/files/exchange"
    carry_out(android.start(bench.connector))
    with pytest.raises(PlatformError, match="keeps its results to itself .run-as: package not debuggable"):
        carry_out(android.collect(bench.connector, tmp_path / "results"))
    bench.phone.debuggable = True
    assert carry_out(android.collect(bench.connector, tmp_path / "results")).steps == 3
    assert (tmp_path / "results" / "rounds.jsonl").read_text() == '{"round": 1}\n'
    assert android.logs(bench.connector) == "1700000000.250 INFO event=connected"


def test_an_app_that_does_not_stop_is_ended_by_force(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployment.android import app

    bench.push()
    carry_out(android.start(bench.connector))
    bench.phone.never_stops = True
    app.stop(bench.connector, wait_s=0)
    assert ["am", "force-stop", android.PACKAGE] in bench.phone.calls


def test_what_a_phone_says_of_itself(bench: Bench) -> None:
    policy = bench.phone.root.file("/sys/devices/system/cpu/cpufreq/policy0")
    policy.mkdir(parents=True)
    (policy / "scaling_governor").write_text("sched_pixel\n")
    for core in range(8):
        (policy.parent.parent / f"cpu{core}").mkdir()
    assert android.is_android(bench.connector)
    facts = android.android_facts(bench.connector)
    assert int(facts.pop("free_kib")) > 0
    assert facts == {
        "board": "Google Pixel 6",
        "ro.product.model": "Pixel 6",
        "ro.product.device": "oriole",
        "build": "google/oriole/oriole:14/UP1A/1:user/release-keys",
        "machine": "arm64-v8a",
        "abis": "arm64-v8a,armeabi-v7a,armeabi",
        "sdk": "34",
        "system": "Android 14 (API 34)",
        "profile": "pixel_6",
        "memory_kib": "7812345",
        "cores": "8",
        "governor": "sched_pixel",
        "battery.battery": "83% Charging",
        "thermal.battery": "29100",
        "thermal_status": "1",
        "energy": "battery",
    }
