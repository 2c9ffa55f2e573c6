"""The Android app in a federation: its service on Robolectric's Android 14 beside a Python client, over TLS.

Once with the classes that Maven built, once with what R8 leaves for a release, and, if ``POCKETFLEET_APK`` names a
debug APK, with those in its dex.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from android_app.apk.build import shrink
from android_app.apk.verify import classes_of
from model_export.bundle import MANIFEST, SIGNATURE, Bundle
from model_export.signing import load_or_create_key, public_key, sign
from python_server.experiment import load_experiment
from python_server.progress import Progress
from python_server.run_reader import RunReader
from python_server.train import train
from tests.java_client import missing

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr

APP = Path(__file__).resolve().parent.parent / "android_app"
TARGET = APP / "app" / "target"
ROUNDS = 3
EXPERIMENT = """
name = "phone"
seed = 3
rounds = {rounds}
[model]
bundle = "bundle"
trusted_key = "trusted.pem"
[data]
test = "test.npz"
[train]
epochs = 2
learning_rate = 0.05
[server]
port = 0
round_deadline_s = 120
[[clients]]
name = "board"
data = "board.npz"
[[clients]]
name = "phone"
data = "phone.npz"
command = {command}
"""


def phone_command(classes: Sequence[Path]) -> list[str]:
    """Return the command that switches the phone on, before the client's arguments; builds the app if need be.

    ``classes`` take the place of the built ones and of the libraries that the app ships.
    """
    if shutil.which("mvn") is None or shutil.which("aapt2") is None:
        missing("no Maven or no aapt2 to build the app with (Debian: maven openjdk-17-jdk-headless aapt)")
    jars = list(TARGET.glob("pocketfleet-app-*.jar"))
    sdks = TARGET / "robolectric-sdks"
    if not jars or not sdks.exists() or jars[0].stat().st_mtime < newest():
        command = ["mvn", "-B", "-q", "-pl", "app", "-am", "package", "-Dtest=NoneOfThem"]
        command += ["-Dsurefire.failIfNoSpecifiedTests=false"]
        done = subprocess.run(command, cwd=APP, capture_output=True, text=True, check=False)
        assert not done.returncode, f"{' '.join(command)} failed:\n{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
        next(TARGET.glob("pocketfleet-app-*.jar")).touch()
    class_path = [TARGET / "test-classes", *(classes or [TARGET / "classes"])]
    shipped = {jar.name for jar in (TARGET / "runtime").glob("*.jar")} if classes else set()
    listing = (TARGET / "test-classpath.txt").read_text().strip().split(os.pathsep)
    class_path += [Path(jar) for jar in listing if Path(jar).name not in shipped]
    return [
        "java",
        "-Xmx1g",
        # What dex2jar makes of dex has no stack maps that the verifier would accept.
        *(["-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote"] if classes else []),
        f"-Djava.library.path={APP / 'tflite' / 'target' / 'native' / 'linux-x86_64'}",
        "-Drobolectric.offline=true",
        f"-Drobolectric.dependency.dir={sdks}",
        "-Dorg.robolectric.packagesToNotAcquire=org.tensorflow.lite.",
        "-cp",
        os.pathsep.join(map(str, class_path)),
        "org.pocketfleet.app.PhoneMain",
    ]


def app_classes(which: str, folder: Path) -> list[Path]:
    """Return what takes the place of the classes that Maven built; nothing for those themselves."""
    if which == "built":
        return []
    if which == "release":
        shrink(folder / "app.jar", google=False)
    else:
        classes_of(Path(which), folder, google=False).rename(folder / "app.jar")
    # The core comes last: only the command that tells the key looks for it there.
    return [folder / "app.jar", *sorted((TARGET / "runtime").glob("pocketfleet-core-*.jar"))]


def newest() -> float:
    """When a source of the app was last changed."""
    sources = [APP / "pom.xml"]
    for module in ("tflite", "core", "app"):
        sources += [APP / module / "pom.xml", *(APP / module / "src").rglob("*.*")]
    return max(source.stat().st_mtime for source in sources)


@pytest.mark.parametrize("which", ["built", "release", *filter(None, [os.environ.get("POCKETFLEET_APK")])])
def test_phone_and_board_train_together(which: str, tmp_path: Path, digits: Any, digits_bundle: Path) -> None:
    """The phone has no model at first: it takes the server's, as the key that it trusts has signed it."""
    signed = tmp_path / "bundle"
    shutil.copytree(digits_bundle, signed)
    key = load_or_create_key(tmp_path / "signer.pem")
    (signed / SIGNATURE).write_bytes(sign((signed / MANIFEST).read_bytes(), key))
    (tmp_path / "trusted.pem").write_bytes(public_key(key))
    for number, name in enumerate(("board", "phone")):
        digits.save(tmp_path / f"{name}.npz", slice(400 * number, 400 * (number + 1)))
    digits.save_test(tmp_path / "test.npz")
    command = json.dumps(phone_command(app_classes(which, tmp_path)))
    file = tmp_path / "phone.toml"
    file.write_text(EXPERIMENT.format(rounds=ROUNDS, command=command))
    with RunReader(train(load_experiment(file), runs=tmp_path / "runs", progress=Progress()).run) as reader:
        rounds = [row for row in reader.rounds() if row.round]
        assert [(row.asked, row.used, row.weight) for row in rounds] == [(2, 2, 800)] * ROUNDS
        names = {device.device: device.name for device in reader.devices()}
        (phone,) = (device for device in reader.devices() if device.name == "phone")
        assert str(phone.facts["system"]).startswith("Android 14 ")
        assert phone.facts["num-examples"] == 400
        assert phone.facts["bundle"] == Bundle.load(signed).sha256
        work = [row for row in reader.device_rounds() if row.round and names[row.device] == "phone"]
        assert [row.outcome for row in work] == ["ok"] * ROUNDS
        assert all(row.steps == row.planned_steps for row in work)
        log = next((tmp_path / "runs").rglob("client-phone.log")).read_text()
        assert "phone: off" in log, log[-3000:]
