"""The Java trainer computes what the Python trainer computes, on this machine and on the code that phones run.

Both train the same bundle on the same samples in the same order with the same dropout masks. What is left is rounding:
runtimes sum in different orders. How much that is after twenty steps two Python runtimes show, LiteRT 2.3 and
tflite-runtime 2.14: their weights end about 2e-7 to 5e-7 of the way they went apart. Java (TensorFlow Lite 2.16.1) has
to be within ten times that; another sample in a batch, another mask or a forgotten momentum is more than a thousandth.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export import tensors
from model_export.bundle import Bundle
from tests.java_client import CLIENT_JAR, java_command, missing

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "android_app" / "tflite"
DATA = ROOT / "android_app" / "target" / "test-data"
EMULATED = ("whole", "cut", "norm", "compressed", "head")
CASES = (*EMULATED, "adam", "recurrent")
LEAST_SPREAD = 2e-7
"""What rounding alone does, where there is no second Python runtime to show it."""

LEGACY = """
import json, sys
from pathlib import Path
from edge_client import Trainer
from edge_client.data import load_dataset
from model_export import tensors

data, name, output = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
case = json.loads((data / "cases.json").read_text())[name]
trainer = Trainer(data / case["bundle"], num_threads=1)
dataset = load_dataset(data / case["data"], trainer.manifest.input, trainer.manifest.classes)
options = {key: case[key] for key in ("learning_rate", "cut", "mu", "seed")}
trainer.fit(dataset, case["epochs"], **options)
tensors.save(output, trainer.weights())
"""

Weights = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    """Make the bundles and what Python makes of them, unless that was done for the Java tests."""
    subprocess.run([sys.executable, "-m", "android_app.test_data.make", DATA], check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads((DATA / "cases.json").read_text())
    assert set(found) == set(CASES)
    return found


def arguments(case: dict[str, Any], output: Path, **changes: Any) -> list[str]:
    case = {**case, **changes}
    options = ["fit", "--bundle", str(DATA / case["bundle"]), "--data", str(DATA / case["data"]), "--json"]
    for key in ("epochs", "learning_rate", "seed", "mu"):
        options += [f"--{key.replace('_', '-')}", str(case[key])]
    if case["cut"]:
        options += ["--cut", case["cut"]]
    return [*options, "--threads", "1", "--weights-out", str(output)]


def run(command: list[str], output: Path) -> tuple[dict[str, Any], Weights]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), tensors.load(output)


def distance(one: Weights, other: Weights, case: dict[str, Any]) -> float:
    """Return how far apart two results are, as a share of the way that training went."""
    start = Bundle.load(DATA / case["bundle"]).initial()
    assert set(one) == set(other) == set(start)
    way = np.sqrt(sum(np.sum((other[key] - start[key]).astype(np.float64) ** 2) for key in start))
    apart = np.sqrt(sum(np.sum((one[key] - other[key]).astype(np.float64) ** 2) for key in start))
    return float(apart / way)


def spread(name: str, case: dict[str, Any], expected: Weights, tmp_path: Path) -> float:
    """Return how far apart two Python runtimes are."""
    python = os.environ.get("POCKETFLEET_LEGACY_PYTHON", str(ROOT / ".venv-legacy" / "bin" / "python"))
    if not Path(python).exists():
        return LEAST_SPREAD
    output = tmp_path / "legacy.safetensors"
    subprocess.run([python, "-c", LEGACY, DATA, name, output], check=True, capture_output=True, cwd=ROOT)
    return distance(tensors.load(output), expected, case)


def check(command: list[str], name: str, case: dict[str, Any], tmp_path: Path) -> None:
    output = tmp_path / "java.safetensors"
    report, weights = run([*command, *arguments(case, output)], output)
    expected = tensors.load(DATA / f"{name}.safetensors")
    limit = 10 * max(spread(name, case, expected, tmp_path), LEAST_SPREAD)
    assert report["steps"] == case["steps"] == 20
    assert report["loss"] == pytest.approx(case["loss"], rel=1e-5)
    assert report["eval_loss"] == pytest.approx(case["eval_loss"], rel=1e-5)
    assert report["eval_accuracy"] == pytest.approx(case["eval_accuracy"])
    assert distance(weights, expected, case) < limit < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_java_trains_as_python_does(name: str, cases: dict[str, Any], tmp_path: Path) -> None:
    check(java_command(), name, cases[name], tmp_path)


def test_another_seed_or_mu_is_noticed(cases: dict[str, Any], tmp_path: Path) -> None:
    output = tmp_path / "java.safetensors"
    for name, changes in (("whole", {"seed": 99}), ("head", {"seed": 99}), ("norm", {"mu": 0.2})):
        _, weights = run([*java_command(), *arguments(cases[name], output, **changes)], output)
        expected = tensors.load(DATA / f"{name}.safetensors")
        assert distance(weights, expected, cases[name]) > 1e-3


@pytest.mark.parametrize("name", EMULATED)
def test_the_phones_library_trains_as_python_does(name: str, cases: dict[str, Any], tmp_path: Path) -> None:
    """The AAR's arm64 library, emulated: the results are a phone's, the times are not."""
    for tool in ("qemu-aarch64", "aarch64-linux-gnu-gcc"):
        if shutil.which(tool) is None:
            missing(f"{tool} is missing (Debian: qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross)")
    java_command()
    native = NATIVE / "target" / "native" / "linux-aarch64"
    build = [NATIVE / "native" / "build.py", NATIVE / "target" / "aar" / "tensorflow-lite", native]
    subprocess.run([sys.executable, *build, "--machine", "aarch64"], check=True)
    userland = subprocess.run([ROOT / "scripts" / "arm64_userland"], capture_output=True, text=True, check=False)
    if userland.returncode:
        missing(f"no arm64 Java: {userland.stderr}")
    root = userland.stdout.strip()
    java = f"{root}/usr/lib/jvm/java-17-openjdk-arm64/bin/java"
    # Compiling Java code costs more under emulation than it saves.
    flags = ["-Xint", "-Xmx256m", "-XX:+UseSerialGC", f"-Djava.library.path={native}", "-jar", str(CLIENT_JAR)]
    command = ["qemu-aarch64", "-L", root, "-E", f"LD_PRELOAD={native}/libbsh.so", java, *flags]
    check(command, name, cases[name], tmp_path)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"--bundle": "nowhere"}, 1, "nowhere: no such bundle"),
        ({"--bundle": "newer.zip"}, 1, "update this app"),
        ({"--bundle": "altered-model.zip"}, 1, "model.tflite was altered"),
        ({"--bundle": "head.zip", "--trust": "other.pem"}, 1, "not by the trusted SHA256:"),
        ({"--data": "digits_label.npz"}, 1, "label 10 of sample 7 is outside 0..9"),
        ({"--cut": "conv9"}, 1, "has no cut 'conv9'; it has: conv-2"),
        ({"--learning-rate": "1e30"}, 1, "a lower one may help"),
        ({"--epochs": "0"}, 2, "--epochs: 0 is not a positive number"),
        ({"--weights-out": "/nowhere/w.safetensors"}, 2, "/nowhere/w.safetensors: cannot be written"),
    ],
)
def test_fit_says_what_is_wrong(changes: dict[str, str], code: int, words: str, cases: dict[str, Any]) -> None:
    options = {"--bundle": "whole", "--data": "digits.npz", "--threads": "1", **changes}
    for key in ("--bundle", "--data", "--trust"):
        if key in options:
            options[key] = str(DATA / options[key])
    command = [*java_command(), "fit", *(part for option in options.items() for part in option)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
