"""Time of one training step: the Java client beside the Python client, on the same bundles, data and threads.

Every client trains in a process of its own, one after the other, in turns; a figure is the shortest step of all turns,
which other programs on the machine disturb least. The peers of Java (TensorFlow Lite 2.16.1 of the Android AAR) are the
Python client on

* ``same library``: the very file that Java loads, called through its C interface, so that only the languages differ;
* ``tensorflow 2.16.1``: the same version built for desktops, if ``--tensorflow`` names a Python that has it;
* ``ai-edge-litert``, and ``tflite-runtime`` 2.14 of ``.venv-legacy``.

Android's x86-64 library is made for emulators: what XNNPACK does not take (convolutions and dense layers whose weights
are variables) it computes in ruy's portable C++, as ruy's kernels for AVX are left out of builds for Android. The arm64
library that phones load has ruy's kernels for NEON. So on x86-64 only ``same library`` says what Java costs, and no
figure here says how fast a phone trains.

    .venv/bin/python benchmarks/java_step.py
    .venv/bin/python benchmarks/java_step.py --turns 5 --models small_cnn --threads 1 --tensorflow /tmp/tf216/bin/python
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "android_app" / "tflite" / "target" / "native" / "linux-x86_64"
MODELS: dict[str, dict[str, Any]] = {
    "small_cnn": {"input": (32, 32, 3), "batch": 16, "train": "all", "steps": 12},
    "resnet20": {"input": (32, 32, 3), "batch": 16, "train": "all", "steps": 4},
    "mobilenet_v2": {"input": (96, 96, 3), "batch": 16, "train": "head", "steps": 400, "options": {"alpha": 0.35}},
}


class _SameLibrary:
    """An interpreter for the Python client on the library that Java loads."""

    def __init__(self, model: bytes, num_threads: int) -> None:
        ctypes.CDLL(str(NATIVE / "libbsh.so"), mode=ctypes.RTLD_GLOBAL)
        self._c = ctypes.CDLL(str(NATIVE / "libtensorflowlite_jni.so"))
        self._model = model
        pointers = ("ModelCreate", "InterpreterOptionsCreate", "InterpreterCreate", "XNNPackDelegateCreate")
        pointers += ("InterpreterGetSignatureRunner", "SignatureRunnerGetInputTensor")
        pointers += ("SignatureRunnerGetOutputTensor", "TensorData")
        for name in pointers:
            self._call(name).restype = ctypes.c_void_p
        for name in ("SignatureRunnerGetInputName", "SignatureRunnerGetOutputName"):
            self._call(name).restype = ctypes.c_char_p
        for name in ("SignatureRunnerGetInputCount", "SignatureRunnerGetOutputCount", "TensorByteSize"):
            self._call(name).restype = ctypes.c_size_t
        # The structure of the options begins with the number of threads; there is room for the rest of it.
        options_type = type("Options", (ctypes.Structure,), {"_fields_": [("threads", ctypes.c_int32 * 128)]})
        self._call("XNNPackDelegateOptionsDefault").restype = options_type
        xnnpack = self._call("XNNPackDelegateOptionsDefault")()
        xnnpack.threads[0] = num_threads
        delegate = self._call("XNNPackDelegateCreate")(ctypes.byref(xnnpack))
        options = ctypes.c_void_p(self._call("InterpreterOptionsCreate")())
        self._call("InterpreterOptionsSetNumThreads")(options, num_threads)
        self._call("InterpreterOptionsAddDelegate")(options, ctypes.c_void_p(delegate))
        handle = self._call("ModelCreate")(model, ctypes.c_size_t(len(model)))
        self._interpreter = ctypes.c_void_p(self._call("InterpreterCreate")(ctypes.c_void_p(handle), options))
        if not self._interpreter:
            raise RuntimeError("the library does not accept the model")
        self.allocate_tensors()

    def _call(self, name: str) -> Any:
        return getattr(self._c, f"TfLite{name}")

    def allocate_tensors(self) -> None:
        self._call("InterpreterAllocateTensors")(self._interpreter)

    def get_signature_list(self) -> Mapping[str, Any]:
        return {}

    def get_signature_runner(self, key: str) -> Any:
        runner = ctypes.c_void_p(self._call("InterpreterGetSignatureRunner")(self._interpreter, key.encode()))
        self._call("SignatureRunnerAllocateTensors")(runner)
        tensors = {}
        for kind in ("Input", "Output"):
            count = self._call(f"SignatureRunnerGet{kind}Count")(runner)
            names = [
                self._call(f"SignatureRunnerGet{kind}Name")(runner, ctypes.c_int32(index)) for index in range(count)
            ]
            tensors[kind] = {
                name.decode(): ctypes.c_void_p(self._call(f"SignatureRunnerGet{kind}Tensor")(runner, name))
                for name in names
            }

        def run(**inputs: np.ndarray) -> Mapping[str, np.ndarray]:
            for name, value in inputs.items():
                data = np.ascontiguousarray(value)
                status = self._call("TensorCopyFromBuffer")(
                    tensors["Input"][name], data.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(data.nbytes)
                )
                if status:
                    raise RuntimeError(f"{name} does not fit {key}")
            if self._call("SignatureRunnerInvoke")(runner):
                raise RuntimeError(f"{key} failed")
            outputs = {}
            for name, tensor in tensors["Output"].items():
                size = self._call("TensorByteSize")(tensor)
                outputs[name] = np.frombuffer(ctypes.string_at(self._call("TensorData")(tensor), size), np.float32)
                outputs[name] = outputs[name] if len(outputs[name]) > 1 else outputs[name].reshape(())
            return outputs

        return run


def _worker(options: argparse.Namespace) -> None:
    """Be the Python client of one turn."""
    import edge_client.base
    import edge_client.runtime
    import edge_client.trainer
    from edge_client.data import load_dataset

    name = options.worker
    if name == "same library":

        def load(model: bytes, *, num_threads: int, runtime: str) -> Any:
            return _SameLibrary(model, num_threads)

        edge_client.trainer.load_interpreter = edge_client.base.load_interpreter = load
    else:
        edge_client.runtime.RUNTIMES = {name: edge_client.runtime.RUNTIMES[name]}
        edge_client.trainer.available_runtime = lambda: name
    trainer = edge_client.trainer.Trainer(options.bundle, num_threads=options.threads)
    data = load_dataset(options.data, trainer.manifest.input, trainer.manifest.classes)
    if trainer.has_features:
        _flatten_features(trainer, data)
    times = [time.perf_counter()]
    epochs = -(-options.steps * trainer.batch_size // len(data))
    trainer.fit(data, epochs, learning_rate=0.01, on_step=lambda done, planned: times.append(time.perf_counter()))
    print(json.dumps({"steps_ms": [1e3 * (b - a) for a, b in zip(times, times[1:])]}))


def _flatten_features(trainer: Any, data: Any) -> None:
    """Give the features the shape that a runner over the C interface does not know."""
    import edge_client.base

    shape = trainer.manifest.signatures["features"].outputs["features"].shape
    content = trainer.bundle.read("base.tflite")
    base = edge_client.base.load_interpreter(content, num_threads=trainer.num_threads, runtime=trainer.runtime)
    run = base.get_signature_runner("features")
    trainer._base._runner = lambda x: {"features": np.asarray(run(x=x)["features"]).reshape(shape)}
    trainer.cached_features(data)


def _export(name: str, folder: Path) -> tuple[Path, Path]:
    from model_export import Sgd, export
    from model_export.zoo import ARCHITECTURES, build

    model = MODELS[name]
    architecture = ARCHITECTURES[name]
    bundle = folder / name
    export(
        build(name, model["input"], 10, **model.get("options", {})),
        bundle,
        batch_size=model["batch"],
        trainable=model["train"],
        optimizer=Sgd(momentum=0.9),
        input_scale=architecture.input_scale,
        input_offset=architecture.input_offset,
        measure=False,
    )
    random = np.random.default_rng(0)
    count = 4 * model["batch"]
    data = folder / f"{name}.npz"
    np.savez(data, x=random.integers(0, 256, (count, *model["input"]), np.uint8), y=np.arange(count) % 10)
    return bundle, data


def _peers(options: argparse.Namespace) -> dict[str, str]:
    peers = {"same library": sys.executable, "ai-edge-litert": sys.executable}
    legacy = ROOT / ".venv-legacy" / "bin" / "python"
    if legacy.exists():
        peers["tflite-runtime"] = str(legacy)
    if options.tensorflow:
        peers["tensorflow"] = options.tensorflow
    return peers


def _run(command: list[str]) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return float(min(json.loads(done.stdout.splitlines()[-1])["steps_ms"]))


def _compare(name: str, threads: int, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    from tests.java_client import CLIENT_JAR

    bundle, data = folder / name, folder / f"{name}.npz"
    if not bundle.exists():
        _export(name, folder)
    steps = MODELS[name]["steps"]
    common = ["--bundle", str(bundle), "--data", str(data), "--threads", str(threads), "--steps", str(steps)]
    epochs = str(-(-steps // 4))
    commands = {"java": ["java", "-jar", str(CLIENT_JAR), "fit", "--json", "--epochs", epochs, *common]}
    for peer, python in _peers(options).items():
        commands[peer] = [python, str(Path(__file__).resolve()), "--worker", peer, *common]
    times: dict[str, list[float]] = {peer: [] for peer in commands}
    for _ in range(options.turns):
        for peer, command in commands.items():
            times[peer].append(_run(command))
    return {peer: min(values) for peer, values in times.items()}


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--tensorflow", metavar="PYTHON", help="a Python with tensorflow 2.16.1")
    parser.add_argument("--json", action="store_true")
    for hidden in ("--worker", "--bundle", "--data"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        options.threads = options.threads[0]
        _worker(options)
        return
    sys.path.insert(0, str(ROOT))
    from tests.java_client import java_command

    java_command()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            for threads in options.threads:
                times = _compare(name, threads, options, Path(folder))
                results.append({"model": name, "threads": threads, "step_ms": times})
                if not options.json:
                    java = times.pop("java")
                    print(f"{name}, {threads} thread(s): java {java:.2f} ms")
                    for peer, ms in times.items():
                        print(f"  python, {peer:<15} {ms:8.2f} ms   java/python {java / ms:5.2f}", flush=True)
    if options.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
